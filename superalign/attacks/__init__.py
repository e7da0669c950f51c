"""Attack families, the archive of attacks, and what an attack earns."""
