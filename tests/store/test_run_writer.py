"""A run being written: transactional by rounds, resumable, its summary and events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.records import Query
from superalign.store.folder import RunFolder
from superalign.store.tables import read_records
from tests.store import parts as writer

DURABLE_CALLS = ("fsync", "rename", "replace")


def contents(run: RunFolder) -> dict[str, object]:
    """All that a run computed, without the seconds it took."""
    rows = [{key: value for key, value in row.items() if key != "timing"} for row in run.rows()]
    tables = [read_records(run.round_path(number), "queries", Query) for number in run.rounds()]
    return {"rows": rows, "samples": run.samples(), "tables": tables, "rounds": run.rounds()}


def in_a_killed_child(job: Callable[[], None], kill_at: int, after: bool) -> bool:
    """Do the job in a forked process that SIGKILLs itself at its n-th durable call; whether it was killed."""
    child = os.fork()
    if child == 0:
        calls = 0

        def deadly(real: Callable[..., None]) -> Callable[..., None]:
            def call(*args: object) -> None:
                nonlocal calls
                calls += 1
                if calls == kill_at and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(*args)
                if calls == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            return call

        for name in DURABLE_CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        try:
            job()
        except BaseException:
            os._exit(70)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_writer_killed_at_any_durable_step_leaves_a_run_that_resumes_to_the_same_end(
    tmp_path: Path, after: bool
) -> None:
    def job(name: str) -> None:
        with writer.opened(tmp_path, name, rounds=2) as run:
            writer.write_rest(run)

    job("whole")
    expected = contents(RunFolder.open(tmp_path / "whole"))
    moment, killed = 1, True
    while killed:
        name = f"killed-{moment}"
        killed = in_a_killed_child(lambda name=name: job(name), moment, after)
        job(name)
        assert contents(RunFolder.open(tmp_path / name)) == expected, f"killed at durable call {moment}"
        assert not list((tmp_path / name / "rounds").glob(".tmp-*"))
        moment += 1
    assert moment > 30


def test_a_round_is_invisible_until_it_is_committed(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        (run.begin_round(0) / "half.txt").write_text("half")
        assert run.last_round() is None
        assert RunFolder.open(run.folder).rows() == []
        run.commit_round(0, {"metrics": {}})
        assert run.last_round() == 0
        assert (run.round_path(0) / "half.txt").read_text() == "half"


def test_a_round_begun_again_starts_from_an_empty_folder(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        (run.begin_round(0) / "half.txt").write_text("half")
        assert list(run.begin_round(0).iterdir()) == []


def test_rounds_are_committed_in_order(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        with pytest.raises(ValueError, match=r"next round .* is 0"):
            run.begin_round(1)
        with pytest.raises(ValueError, match="round 0 is not open"):
            run.commit_round(0, {"metrics": {}})


def test_metrics_and_samples_are_rebuilt_from_the_committed_rounds(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        writer.write_round(run, 0)
        writer.write_round(run, 1)
        before = contents(run)
    (run.folder / "metrics.jsonl").write_text('{"round": 0, "torn')
    (run.folder / "samples.jsonl").unlink()
    with writer.opened(tmp_path) as run:
        assert run.resumed
        assert contents(run) == before


def test_sample_texts_are_sealed_on_disk(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        run.begin_round(0)
        run.commit_round(0, {"metrics": {}}, [{"query": "marker-text here", "kind": "harmful"}])
    for path in run.folder.rglob("*"):
        assert not path.is_file() or b"marker-text" not in path.read_bytes(), path
    assert run.samples()[0]["query"] == "[redacted: 2 words]"


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    writer.opened(tmp_path).close()
    (tmp_path / "run" / "format").write_text("99\n")
    with pytest.raises(UserError, match="run format '99' and this superalign reads format 3"):
        writer.opened(tmp_path)
    with pytest.raises(UserError, match="run format '99'"):
        RunFolder.open(tmp_path / "run")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"is no run folder \(it holds thesis.tex\)"):
        writer.opened(tmp_path)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


def test_a_lost_round_is_named(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        writer.write_round(run, 0)
        writer.write_round(run, 1)
    run.round_path(0).rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="0000 is missing though later rounds exist"):
        writer.opened(tmp_path)


def test_the_summary_holds_first_and_last_figures_and_seconds_by_stage(tmp_path: Path) -> None:
    with writer.opened(tmp_path, rounds=1) as run:
        writer.write_rest(run)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert summary["metrics"]["helpfulness"]["first"] == summary["metrics"]["helpfulness"]["last"] == writer.rate(0.9)
    assert summary["metrics"]["expert_labels"] == {"used": 12, "budget": 144}
    stages = summary["timing"]["stages"]
    assert list(stages)[-1] == "other" and stages["attack"] > 0
    assert sum(stages.values()) == pytest.approx(summary["timing"]["total_s"])


def test_a_figure_that_is_no_number_becomes_null(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        run.begin_round(0)
        run.commit_round(0, {"metrics": {}, "train": {"loss": float("nan")}})
    assert run.rows()[0]["train"] == {"loss": None}


def test_events_tell_of_every_start(tmp_path: Path) -> None:
    writer.opened(tmp_path).close()
    with writer.opened(tmp_path) as run:
        run.event("actor_lost", actor="critic")
    assert [event["event"] for event in run.events()] == ["started", "resumed", "actor_lost"]


def test_events_tell_how_often_each_round_was_begun(tmp_path: Path) -> None:
    with writer.opened(tmp_path) as run:
        run.begin_round(0)
        writer.write_round(run, 0)
        run.begin_round(1)
    begun = [event["round"] for event in run.events() if event["event"] == "round_begun"]
    assert begun == [0, 0, 1]


def test_an_unknown_run_lists_those_that_exist(tmp_path: Path) -> None:
    writer.opened(tmp_path, "known").close()
    with pytest.raises(UserError, match=r"no run folder other .*known"):
        RunFolder.open("other", root=tmp_path)
    assert RunFolder.open("known", root=tmp_path).name == "known"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one mebibyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("where", ["stage", "commit"])
def test_a_full_disk_is_one_line_and_loses_no_committed_round(small_disk: Path, where: str) -> None:
    with writer.opened(small_disk) as run:
        writer.write_round(run, 0)
        before = contents(run)
        folder = run.begin_round(1)
        with pytest.raises(UserError, match="no space left on the disk") as caught:
            if where == "stage":
                with run.stage("train_learner"):
                    (folder / "adapter").write_bytes(os.urandom(2 << 20))
            else:
                room = os.statvfs(small_disk)
                (folder / "adapter").write_bytes(os.urandom(room.f_bavail * room.f_frsize))
                run.commit_round(1, {"metrics": {}})
        assert "\n" not in str(caught.value)
    for ballast in run.rounds_dir.glob(".tmp-*/adapter"):
        ballast.unlink()
    with writer.opened(small_disk) as run:
        assert contents(run) == before
        writer.write_round(run, 1)
        assert run.last_round() == 1
