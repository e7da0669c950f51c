"""Training: preferences and demonstrations in, adapters out; role-blind."""
