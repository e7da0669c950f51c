"""Results filed by content: made once, shared by processes and runs, never left half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from superalign.weak_to_strong.cache import Arrays, Cache

PARTS = {"spec": "pixels:4", "seed": 1, "labels": [0, 1]}


class Maker:
    """Makes arrays and counts how often it had to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Arrays:
        self.times += 1
        return {"p": np.linspace(0, 1, 50).reshape(10, 5), "said": np.array(["yes", "no, then", ""])}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_arrays_are_made_once_and_come_back_as_they_were(tmp_path: Path) -> None:
    make = Maker()
    first, again = (Cache(tmp_path).get("ceiling", PARTS, make) for _ in range(2))
    assert make.times == 1
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) and first[name].dtype == again[name].dtype for name in first)


def test_the_order_of_the_parts_does_not_matter_and_their_values_do(tmp_path: Path) -> None:
    cache, make = Cache(tmp_path), Maker()
    cache.get("ceiling", PARTS, make)
    cache.get("ceiling", dict(reversed(PARTS.items())), make)
    assert make.times == 1
    for other in (PARTS | {"seed": 2}, PARTS | {"labels": [1, 0]}, PARTS | {"bag": None}):
        cache.get("ceiling", other, make)
    cache.get("supervisor", PARTS, make)
    assert make.times == 5


@pytest.mark.parametrize("left", [0, 1, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_made_again(tmp_path: Path, left: float) -> None:
    cache, make = Cache(tmp_path), Maker()
    whole = cache.get("ceiling", PARTS, make)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content)) if left < 1 else 1])
    again = cache.get("ceiling", PARTS, make)
    assert make.times == 2
    assert np.array_equal(again["p"], whole["p"])
    assert path.read_bytes() == content


def test_a_file_with_a_flipped_bit_is_made_again(tmp_path: Path) -> None:
    cache, make = Cache(tmp_path), Maker()
    cache.get("ceiling", PARTS, make)
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    assert np.array_equal(cache.get("ceiling", PARTS, make)["p"], make()["p"])
    assert make.times == 3


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Arrays:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        Cache(tmp_path).get("ceiling", PARTS, fail)
    assert files(tmp_path) == []


def test_arrays_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Cache(tmp_path).get("ceiling", PARTS, lambda: {"p": np.array([object()])})
    assert files(tmp_path) == []


WRITER = """
import sys
from pathlib import Path
import numpy as np
from superalign.weak_to_strong.cache import Cache

def make():
    print("making", flush=True)
    sys.stdin.readline()  # both processes are at it before either files anything
    return {"p": np.arange(200_000.0)}

found = Cache(Path(sys.argv[1])).get("ceiling", {"spec": "a"}, make)
print("sum", int(found["p"].sum()), flush=True)
"""


def test_two_processes_that_make_the_same_end_with_one_good_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": os.environ}
    writers = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "making\n"
        said = [writer.communicate("\n")[0] for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert said == ["sum 19999900000\n"] * 2
    (path,) = files(tmp_path)
    assert path.suffix == ".npz"
    third = Cache(tmp_path).get("ceiling", {"spec": "a"}, Maker())
    assert third["p"].sum() == 19999900000
