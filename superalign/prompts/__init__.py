"""What roles are asked, and how their words are read back."""
