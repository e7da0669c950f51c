"""Who may write a run folder: one process at a time, under a sound name, with the settings it was started with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.store.run_writer import RunWriter
from tests.store import parts as writer


def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(writer.__file__)), str(tmp_path), "run", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin and holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid}") as caught:
            writer.opened(tmp_path, rounds=1)
        assert "\n" not in str(caught.value)
        holder.communicate("go\n")
    assert holder.returncode == 0
    with writer.opened(tmp_path, rounds=1) as run:
        assert run.complete


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(writer.__file__)), str(tmp_path), "run", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "open\n"
        holder.kill()
        holder.wait()
    with writer.opened(tmp_path, rounds=1) as run:
        writer.write_rest(run)
        assert run.complete


def test_a_resumption_with_another_setting_names_the_key_and_both_values(tmp_path: Path) -> None:
    with writer.opened(tmp_path, rounds=1) as run:
        writer.write_rest(run)
    with pytest.raises(UserError, match=r"learner.beta=0.1 and now learner.beta=0.2"):
        writer.opened(tmp_path, rounds=1, learner={"beta": 0.2})


def test_before_anything_is_committed_other_settings_may_be_given_under_the_same_name(tmp_path: Path) -> None:
    writer.opened(tmp_path, rounds=1).close()
    with writer.opened(tmp_path, rounds=1, learner={"beta": 0.2}) as run:
        writer.write_rest(run)
    assert run.config()["learner"]["beta"] == 0.2


def test_a_resumption_may_ask_for_more_rounds_but_not_for_fewer(tmp_path: Path) -> None:
    with writer.opened(tmp_path, rounds=2) as run:
        writer.write_rest(run)
        assert run.complete
    with pytest.raises(UserError, match="rounds=2 and now rounds=1"):
        writer.opened(tmp_path, rounds=1)
    with writer.opened(tmp_path, rounds=3) as run:
        assert not run.complete
        assert run.summary() is None
        writer.write_rest(run)
    assert run.config()["rounds"] == 3
    assert run.rounds() == [0, 1, 2, 3]


def test_a_resumption_may_run_on_another_cluster(tmp_path: Path) -> None:
    writer.opened(tmp_path).close()
    with writer.opened(tmp_path, cluster={"mode": "inline"}) as run:
        assert run.resumed


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden"])
def test_a_name_that_leaves_the_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a folder"):
        writer.opened(tmp_path, name)


def test_a_run_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, or lies below one"):
        writer.opened(tmp_path / "file")


def test_runs_without_a_name_never_share_a_folder(tmp_path: Path) -> None:
    with (
        RunWriter.create_or_resume(writer.config(), tmp_path) as one,
        RunWriter.create_or_resume(writer.config(), tmp_path) as two,
    ):
        assert one.folder != two.folder
        assert one.name.startswith("selfplay-0-")
