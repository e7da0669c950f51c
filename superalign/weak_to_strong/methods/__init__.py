"""What is tried to make more of weak labels."""
