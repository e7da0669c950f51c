"""Going through rounds: what is done between them stays cheap."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.loop.rounds import REPORT_SHARE, run_rounds
from superalign.report import page
from superalign.store.run_writer import RunWriter

ROUND_S, REPORT_S = 0.08, 0.02


def test_reports_under_way_take_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[float] = []

    def write(_: Path) -> None:
        time.sleep(REPORT_S)
        written.append(time.monotonic())

    def idle(*_: Any) -> None:
        return None

    monkeypatch.setattr(page, "write", write)
    workers: Any = SimpleNamespace(restore=idle, resize_engines=idle, cluster=SimpleNamespace(reset_restarts=idle))
    with RunWriter.create_or_resume(Config(rounds=40).model_dump(mode="json"), tmp_path, "mine") as run:

        def do(number: int, _: Path) -> dict[str, Any]:
            time.sleep(ROUND_S)
            return run.commit_round(number, {"metrics": {}, "counts": {}, "train": {}})

        run_rounds(run, workers, do)
        assert run.last_round() == 40
    between = [later - earlier for earlier, later in itertools.pairwise(written)]
    assert len(between) >= 1  # it is written again and again
    assert min(between) >= REPORT_S / REPORT_SHARE
