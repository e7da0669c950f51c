"""Settings: sections, composition, explanation."""
