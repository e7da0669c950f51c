"""Weak and strong models, and how they are trained."""
