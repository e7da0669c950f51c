"""Weak-to-strong generalization: a strong student learns from a weaker supervisor's labels (arXiv 2312.09390)."""
