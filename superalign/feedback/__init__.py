"""Feedback as measured noise: calibration, escalation to experts, blending, novelty."""
