"""What a run depends on beside its settings: a resumption that finds another is refused, or records it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.store.folder import RunFolder
from superalign.store.pins import Pin, Pinned
from superalign.store.run_writer import RunWriter
from tests.store import parts as writer

SEEDS = "data.seeds=s.jsonl"


def opened(root: Path, accept: bool = False, rounds: int = 1, **fingerprints: str) -> RunWriter:
    """A run that depends on seeds and on a model, each of these fingerprints."""
    known = {"seeds": "aaaa" * 8, "model": "cccc" * 8} | fingerprints
    pins = {
        SEEDS: Pin("the file", str(root / "s.jsonl"), known["seeds"]),
        "model=m": Pin("the model", None, known["model"]),
    }
    settings = writer.config(rounds=rounds, run={"accept_changes": accept})
    return RunWriter.create_or_resume(settings, root, "run", Console(file=io.StringIO()), pins=pins)


def test_config_yaml_holds_the_pins_and_still_is_a_file_of_settings(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        writer.write_round(run, 0)
    path = run.folder / "config.yaml"
    pinned = yaml.safe_load(path.read_text())["pinned"]
    assert pinned[SEEDS] == {"what": "the file", "path": str(tmp_path / "s.jsonl"), "fingerprint": "aaaa" * 8}
    assert "pinned" not in RunFolder.open(run.folder).config()
    assert load([str(path), "run.name=other"]).rounds == 1


def test_a_resumption_that_finds_another_file_is_refused_by_name_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        writer.write_round(run, 0)
    before = (run.folder / "config.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        opened(tmp_path, seeds="bbbb" * 8)
    told = str(caught.value)
    assert f"{SEEDS}: the file is another (pinned aaaaaaaaaaaa.., now bbbbbbbbbbbb..)" in told
    assert "--accept-changes" in told and "\n" not in told and "model=m" not in told
    assert (run.folder / "config.yaml").read_bytes() == before


def test_all_that_changed_is_named_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        writer.write_round(run, 0)
    with pytest.raises(UserError, match=r"data.seeds=s.jsonl: the file is another .*; model=m: the model is another"):
        opened(tmp_path, seeds="bbbb" * 8, model="dddd" * 8)


def test_an_accepted_change_is_recorded_once_and_is_what_is_pinned_from_then_on(tmp_path: Path) -> None:
    with opened(tmp_path, rounds=3) as run:
        writer.write_round(run, 0)
        writer.write_round(run, 1)
    with opened(tmp_path, accept=True, rounds=3, seeds="bbbb" * 8) as run:
        writer.write_round(run, 2)
    with opened(tmp_path, rounds=3, seeds="bbbb" * 8) as run:
        (change,) = run.pinned().accepted
    told = {name: change[name] for name in ("name", "old", "new", "after_round")}
    assert told == {"name": SEEDS, "old": "aaaa" * 8, "new": "bbbb" * 8, "after_round": 1}
    assert change["time"][:2] == "20"
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["run"]["accept_changes"] is False
    with pytest.raises(UserError, match="now aaaaaaaaaaaa"):  # back to the first is a change, too
        opened(tmp_path, rounds=3)


def test_before_the_first_commit_nothing_rests_on_what_was_there(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with opened(tmp_path, seeds="bbbb" * 8) as run:
        assert run.pinned().pins[SEEDS].fingerprint == "bbbb" * 8


def test_what_cannot_be_told_now_is_neither_refused_nor_forgotten() -> None:
    before = Pinned({"model=hub:a/b": Pin("the model on the hub", None, "c0ffee")})
    offline = {"model=hub:a/b": Pin("the model on the hub", None, None)}
    assert before.resumed(offline, False, Path("runs/x"), 1) == before
    assert before.resumed({}, False, Path("runs/x"), 1) == before


def test_a_run_of_an_earlier_version_gets_its_pins_when_it_goes_on(tmp_path: Path) -> None:
    with writer.opened(tmp_path, rounds=1) as run:
        writer.write_round(run, 0)
    with opened(tmp_path) as run:
        assert set(run.pinned().pins) == {SEEDS, "model=m"}


def test_the_files_of_a_run_are_found_from_another_folder(tmp_path: Path) -> None:
    for name in ("s.jsonl", "mine.py"):
        (tmp_path / name).touch()
    (tmp_path / "model").mkdir()
    pins = Pinned(
        {
            SEEDS: Pin("the file", str(tmp_path / "s.jsonl"), "a"),
            "model=model": Pin("the model", str(tmp_path / "model"), "b"),
            "task=mine.py:Task": Pin("the file", str(tmp_path / "mine.py"), "c"),
            "critic.kind=gone.py:Critic": Pin("the file", str(tmp_path / "gone.py"), "d"),
        }
    )
    settings = {
        "model": "model",
        "data": {"seeds": "s.jsonl", "source": "s.jsonl"},
        "task": ["digits", "mine.py:Task"],
        "critic": {"kind": "gone.py:Critic"},
        "rounds": 3,
    }
    assert pins.locate(settings) == {
        "model": str(tmp_path / "model"),
        "data": {"seeds": str(tmp_path / "s.jsonl"), "source": "s.jsonl"},
        "task": ["digits", f"{tmp_path / 'mine.py'}:Task"],
        "critic": {"kind": "gone.py:Critic"},
        "rounds": 3,
    }
