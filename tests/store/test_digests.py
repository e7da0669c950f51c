"""A committed round that was damaged is refused by name, before anything is built on it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.store.digests import NAME
from tests.store import parts as writer

CUT = "differs from what was committed"
GONE = "was committed and is missing"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """The rounds of a run that has two of them and wants more."""
    with writer.opened(tmp_path) as run:
        for number in (0, 1):
            folder = run.begin_round(number) / "adapters"
            folder.mkdir()
            (folder / "weights").write_bytes(bytes(100))
            run.commit_round(number, {"metrics": {}})
    return run.rounds_dir


FILES = ("0000/metrics.json", "0000/adapters/weights", "0001/adapters/weights")
DAMAGES = [*product(FILES, [(cut, CUT), (change, CUT), (Path.unlink, GONE)]), (f"0001/{NAME}", (cut, CUT))]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_file_is_named_and_the_run_goes_on_once_it_is_restored(
    committed: Path, tmp_path: Path, name: str, damage: tuple[Callable[[Path], None], str]
) -> None:
    harm, state = damage
    before = (committed / name).read_bytes()
    harm(committed / name)
    with pytest.raises(UserError, match=f"{name} {state}: restore it from a copy, or choose another run.name"):
        writer.opened(tmp_path)
    (committed / name).write_bytes(before)
    with writer.opened(tmp_path) as run:
        assert run.last_round() == 1


def test_a_round_of_before_there_were_digests_is_taken_as_it_is(committed: Path, tmp_path: Path) -> None:
    (committed / "0000" / NAME).unlink()
    cut(committed / "0000/adapters/weights")
    with writer.opened(tmp_path) as run:
        assert run.last_round() == 1
