"""Measuring on real text: compliance with held-out requests, retained capability, and the change since round 0."""
