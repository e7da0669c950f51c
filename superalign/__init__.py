"""superalign: train language models under superalignment (arXiv 2412.11145)."""

__version__ = "0.1.0"
