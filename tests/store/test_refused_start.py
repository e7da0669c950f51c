"""A start that is refused is one line and leaves no run folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.errors import ActorLost, UserError
from superalign.experts.queue import ExpertQueue
from tests.roles.parts import labelled
from tests.store import parts as writer


def test_a_start_that_is_refused_after_the_folder_was_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model"), writer.opened(tmp_path / "new" / "runs") as run:
        run.begin_round(0)
        (run.log_dir / "critic.log").write_text("it starts\n")
        raise UserError("no such model")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_was_there_before_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError), writer.opened(tmp_path):
        raise UserError("no")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "run"]
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ActorLost("critic", "died"), RuntimeError("a bug")])
def test_what_is_no_refusal_keeps_the_folder_and_its_logs(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), writer.opened(tmp_path):
        raise error
    assert (tmp_path / "run" / "format").is_file()


def test_a_refusal_that_points_to_a_log_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(UserError), writer.opened(tmp_path) as run:
        raise UserError(f"critic did not start within 180 s: see {run.log_dir}")
    assert (tmp_path / "run" / "logs").is_dir()


@pytest.mark.parametrize("asked", [True, False])
def test_a_refusal_loses_nothing_that_people_were_asked(tmp_path: Path, asked: bool) -> None:
    with pytest.raises(UserError), writer.opened(tmp_path) as run:
        queue = ExpertQueue(run.experts_path)
        if asked:
            queue.push([labelled(1, 1.0)[0]], round=1, budget=4)
        raise UserError("waited 9 s and still miss 1 label")
    assert (tmp_path / "run" / "experts.sqlite").exists() == asked


def test_once_a_round_is_committed_a_refusal_removes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError), writer.opened(tmp_path) as run:
        writer.write_round(run, 0)
        raise UserError("later")
    assert run.rounds() == [0]
    with pytest.raises(UserError), writer.opened(tmp_path) as run:
        raise UserError("and again")
    assert run.rounds() == [0]


def test_a_run_that_was_interrupted_before_its_first_round_outlives_a_refusal(tmp_path: Path) -> None:
    writer.opened(tmp_path).close()
    with pytest.raises(UserError), writer.opened(tmp_path):
        raise UserError("no")
    assert (tmp_path / "run" / "format").is_file()


def test_a_start_beside_another_process_leaves_its_folder_alone(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        with pytest.raises(UserError, match="is in use by process"):
            writer.opened(tmp_path)
        writer.write_round(run, 0)
    assert run.rounds() == [0]


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ("file", "is a file, or lies below one"),
        ("file/below", "is a file, or lies below one"),
        ("x" * 300, "cannot be made (File name too long)"),
        ("a\0b", "cannot be made (embedded null byte)"),
        ("loop/runs", "cannot be made (Too many levels of symbolic links)"),
        ("/proc/nowhere", "/proc/nowhere/run cannot be made"),
    ],
)
def test_a_root_that_cannot_be_made_is_one_line(tmp_path: Path, root: str, told: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError) as caught:
        writer.opened(tmp_path / root)
    assert told in str(caught.value) and "choose another run" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


@pytest.fixture
def readonly(tmp_path: Path) -> Iterator[Path]:
    """A real file system that nobody can write to."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_disk_is_one_line(readonly: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be made \(Read-only file system\): choose another run.root"):
        writer.opened(readonly / "runs")
