"""Measuring: held-out attacks, judges, and intervals around every figure."""
