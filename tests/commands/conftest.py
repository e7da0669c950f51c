"""A working directory with a run in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.schema import Config
from superalign.store.run_writer import RunWriter


@pytest.fixture
def run_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with one run, `tried`, that holds no round yet."""
    monkeypatch.chdir(tmp_path)
    with RunWriter.create_or_resume(Config().model_dump(mode="json"), tmp_path / "runs", "tried"):
        pass
    return tmp_path
