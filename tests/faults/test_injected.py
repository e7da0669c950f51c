"""Whatever is hit, and whenever: the run ends with the bits of an undisturbed one, and no expert label is lost.

A sample of `campaign.py`, which hits everything at random.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.store.folder import RunFolder
from tests.faults.campaign import Plan, tried
from tests.faults.trial import run_in

LIMIT_S = 600.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("faults") / "undisturbed"
    result = tried(Plan(0, "inline", (), ""), folder, None, LIMIT_S)
    assert result.complete and not result.broken
    return run_in(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_driver_killed_and_its_files_and_its_expert_hit_ends_as_if_nothing_had_happened(
    whole: RunFolder, tmp_path: Path
) -> None:
    kinds = ("driver killed", "committed round damaged", "expert killed")
    result = tried(Plan(1, "inline", kinds, "sample"), tmp_path / "trial", whole, LIMIT_S)
    assert result.broken == ()
    assert result.complete
    injected = [kind for kind, _ in result.faults]  # one whose moment has passed does not strike
    assert "committed round damaged" in injected and set(injected) <= set(kinds)
    assert any("restore it from a copy" in error for error in result.errors)
