"""The loop over the splits of recipes/weak_to_strong.py."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.config.sections import W2SConfig
from superalign.errors import ActorLost
from superalign.registry import file_module

RECIPE = Path(__file__).parents[2] / "recipes" / "weak_to_strong.py"


def test_a_split_that_is_done_ends_the_count_of_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, told, submitted = file_module(RECIPE), list[str](), list[int]()
    stub = {"save": lambda *_: None, "cells": lambda *_, **__: [], "headline": lambda _: {}}
    monkeypatch.setattr(recipe, "aggregate", SimpleNamespace(**stub))
    monkeypatch.setattr(recipe, "Writers", SimpleNamespace(open=lambda *_: SimpleNamespace(log=print, close=print)))

    def submit(study: Any, number: int) -> Future[list[Any]]:
        submitted.append(number)
        future: Future[list[Any]] = Future()
        if len(submitted) in (1, 4):  # each split at its first try
            future.set_exception(ActorLost("worker0", f"split {number}"))
        else:
            future.set_result([])
        return future

    done: list[int] = []
    run: Any = SimpleNamespace(
        settings={"track": {}},
        last_round=lambda: max(done, default=None),
        rounds=lambda: list(done),
        round_path=lambda number: Path(str(number)),
        begin_round=lambda number: Path(str(number)),
        commit_round=lambda number, row: done.append(number) or row,
        stage=lambda name: nullcontext(),
        event=lambda *_, **__: None,
    )
    cluster: Any = SimpleNamespace(
        restart=lambda loss: told.append(str(loss)), reset_restarts=lambda: told.append("reset")
    )
    pool: Any = SimpleNamespace(submit=submit)
    recipe.train(Config(w2s=W2SConfig(seeds=2)), run, cluster, pool, [None])
    assert told == ["split 0", "reset", "split 1", "reset"]
