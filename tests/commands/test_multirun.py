"""`superalign train --multirun`: a run for each combination of values."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from superalign.commands import main
from superalign.store.folder import RunFolder
from tests.commands.parts import COMMAND, ROOT

RECIPE = """
import time
from contextlib import suppress
from superalign.store.run_writer import Plan, RunWriter

def main(config):
    with RunWriter.create_or_resume(config.model_dump(), config.run.root, config.run.name, plan=Plan(0)) as run:
        run.begin_round(0)
        if config.seed == 13:
            raise ValueError("seed 13")
        print(f"this is seed {config.seed}", flush=True)
        if config.seed == 95:  # misses what interrupts it first
            with suppress(KeyboardInterrupt):
                time.sleep(300)
        time.sleep(300 if config.seed > 90 else 0)
        figure = {"value": config.seed / 10, "low": 0.0, "high": 1.0, "n": 9}
        run.commit_round(0, {"metrics": {"helpfulness": figure}, "counts": {}, "train": {}})
        run.finish({}, versions={})
    return 0
"""


@pytest.fixture(autouse=True)
def _recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "mine.py").write_text(RECIPE)


def test_each_combination_is_a_run_and_a_table_compares_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--multirun", "recipe=mine.py", "run.name=try", "seed=1,2", "learner=dpo,kto"]) == 0
    names = [f"try_seed={seed}_learner={learner}" for seed in (1, 2) for learner in ("dpo", "kto")]
    runs = {name: RunFolder.open(name).config() for name in names}
    assert [(c["seed"], c["learner"]["algorithm"]) for c in runs.values()] == [
        (seed, learner) for seed in (1, 2) for learner in ("dpo", "kto")
    ]
    table = capfd.readouterr().out.splitlines()[-5:]
    assert table[0].split()[:4] == ["run", "what", "varied", "end"] and "helpfulness" in table[0]
    row = next(line for line in table if line.startswith(names[-1]))
    assert "seed=2 learner=kto" in row and "complete" in row and "20" in row


def test_a_run_that_fails_is_told_and_the_others_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--multirun", "recipe=mine.py", "run.name=try", "seed=1,13,2"]) == 1
    said = capfd.readouterr()
    assert "run try_seed=13 failed with exit code 1" in said.err
    assert "ValueError: seed 13" in said.err
    assert (RunFolder.open("try_seed=2").summary() or {})["status"] == "complete"
    assert any(line.startswith("try_seed=13") and "exit code 1" in line for line in said.out.splitlines())


def test_runs_that_go_on_at_a_time_are_told_apart(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--multirun", "--jobs", "2", "recipe=mine.py", "run.name=try", "seed=1,2"]) == 0
    said = capfd.readouterr().out
    for seed in (1, 2):
        assert f"try_seed={seed}: this is seed {seed}\n" in said


def test_nothing_runs_if_one_of_the_runs_has_wrong_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--multirun", "recipe=mine.py", "seed=1,-1"]) == 2
    assert "seed=-1" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_file_of_settings_can_be_swept(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("recipe: mine.py\nrounds: 2\n")
    assert main.main(["train", "my.yaml", "--multirun", "seed=1,2", "run.name=try"]) == 0
    assert [RunFolder.open(f"try_seed={seed}").config()["rounds"] for seed in (1, 2)] == [2, 2]


def test_several_values_without_multirun_say_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "recipe=mine.py", "seed=1,2"]) == 2
    assert "--multirun" in capsys.readouterr().err


@pytest.mark.parametrize(("first", "second"), [(91, 92), (95, 96)])
def test_an_interruption_ends_the_runs_that_go_on_and_begins_no_other(tmp_path: Path, first: int, second: int) -> None:
    sweep = subprocess.Popen(
        [*COMMAND, "train", "--multirun", "recipe=mine.py", "run.name=try", f"seed={first},{second}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert sweep.stdout is not None
    lines = iter(sweep.stdout.readline, "")
    assert any(f"this is seed {first}" in line for line in lines)
    began = time.monotonic()
    sweep.send_signal(signal.SIGINT)
    _, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert time.monotonic() - began < 30
    resume = f"resume all with: superalign train --multirun recipe=mine.py seed={first},{second} run.name=try\n"
    assert resume in errors
    assert not (tmp_path / "runs" / f"try_seed={second}").exists()
