"""Critics: who scores answers and pairs, explains, and learns to."""
