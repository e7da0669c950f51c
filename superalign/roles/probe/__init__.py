"""Verdicts read from a model's hidden states: features, heads, and what they learn from."""
