"""What a weak-to-strong study reports."""
