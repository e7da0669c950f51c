"""Small studies for tests: a task of few rows, split once, with models that train in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.config.schema import Config
from superalign.weak_to_strong.cache import Cache
from superalign.weak_to_strong.protocol import split
from superalign.weak_to_strong.split_context import SplitContext
from superalign.weak_to_strong.tasks.registry import load_task

WEAK, STRONG = "pixels:2", "centroids:60"
SPECS = (WEAK, STRONG)
VIA = ("centroids:10", "centroids:30")


def settings(**w2s: Any) -> Config:
    """Settings with `w2s` of their own; `method`, `model` and the like are given beside it."""
    top = {name: w2s.pop(name) for name in list(w2s) if name in ("method", "model", "data", "weak", "strong")}
    return Config.model_validate({**top, "cluster": {"threads": 1}, "w2s": w2s})


def split_context(cache: Path, task: str = "digits", limit: int = 240, seed: int = 0, **w2s: Any) -> SplitContext:
    """The context of one split of an embedded task."""
    return SplitContext(split(load_task(task, limit=limit), seed), settings(**w2s), Cache(cache))
