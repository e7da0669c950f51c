"""Learner algorithms: one file each."""
