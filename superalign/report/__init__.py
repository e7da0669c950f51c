"""What a run found: one self-contained page, trackers, and text for the terminal."""
