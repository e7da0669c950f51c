"""Seed requests and preference pairs: files, the hub, the testbed."""
