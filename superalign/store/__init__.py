"""The run folder: atomic rounds, resume, provenance."""
