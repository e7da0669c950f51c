"""The embedded world: a generated English domain with an exact oracle and a small base model."""
