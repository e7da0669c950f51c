"""The scorer's probes: read of the test rows, and only where a representation can move."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from superalign.weak_to_strong.base import Rows
from superalign.weak_to_strong.methods.registry import Trained
from superalign.weak_to_strong.metrics.scorer import Scorer
from superalign.weak_to_strong.split_context import SplitContext
from superalign.weak_to_strong.tasks.registry import load_task
from tests.weak_to_strong.parts import split_context


def reader(scale: float) -> Any:
    """A student whose features are the pixels, as far as `scale` lets them through."""
    noise = np.random.default_rng(0)

    def features(rows: Rows) -> np.ndarray:
        flat = np.asarray(rows.inputs).reshape(len(rows), -1)
        return scale * flat + (1 - scale) * noise.normal(size=flat.shape)

    return SimpleNamespace(features=features)


def test_probes_read_the_test_rows_before_and_after_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = split_context(tmp_path)
    scorer = Scorer(load_task("digits", limit=240), made.experiment)
    monkeypatch.setattr(SplitContext, "untrained", lambda *_: reader(0.0))
    trained = Trained(None, student=reader(1.0))  # type: ignore[arg-type]
    found = scorer.probes(made, "lora:any", trained)
    assert {name: (len(hits), set(hits) <= {0.0, 1.0}) for name, hits in found.items()} == {
        "probe_before": (len(made.experiment.test), True),
        "probe_after": (len(made.experiment.test), True),
    }
    assert found["probe_after"].mean() > found["probe_before"].mean() + 0.1
    assert scorer.probes(made, "centroids:9", trained) == {}
