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
# By it all three strike: driver and expert in round 1 before its labels are given, committed files in round 2.
SEED = "sample 2321"


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
    result = tried(Plan(1, "inline", kinds, SEED), tmp_path / "trial", whole, LIMIT_S)
    assert result.broken == ()
    assert result.complete
    assert [kind for kind, _ in result.faults] == ["driver killed", "expert killed", "committed round damaged"]
    assert any("restore it from a copy" in error for error in result.errors)
