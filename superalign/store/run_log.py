"""The log file of the process that writes a run."""

from __future__ import annotations

import logging
from pathlib import Path


class _QuietFileHandler(logging.FileHandler):
    """A log line lost on a full disk must not bury the one clear error under logging's own tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the line."""


def attach_log(path: Path) -> logging.Handler:
    """Have everything that superalign logs in this process written to a file, until the handler is removed."""
    handler = _QuietFileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("superalign")
    logger.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return handler
