"""The file formats of `superalign experts export` and `import`, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from superalign.experts import argilla, interchange, label_studio, trl_rows
from superalign.experts.interchange import ImportResult
from superalign.experts.queue import ExpertQueue

EXPORTS: Final[dict[str, Callable[[ExpertQueue, str | Path], int]]] = {
    "jsonl": interchange.export_items,
    "argilla": argilla.export_items,
    "label-studio": label_studio.export_items,
    "trl": trl_rows.export_labels,
}
IMPORTS: Final[dict[str, Callable[[ExpertQueue, str | Path], ImportResult]]] = {
    "jsonl": interchange.import_answers,
    "argilla": argilla.import_answers,
    "label-studio": label_studio.import_answers,
}
