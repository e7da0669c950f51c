"""The command line: starts at once, and a mistake is one line and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from superalign.commands import config, experts, main, train
from superalign.config.paths import groups
from superalign.errors import ActorLost
from superalign.registry import METHODS, TASKS
from tests.commands.parts import ROOT, comes_within, imported, superalign

HEAVY = {"torch", "ray", "transformers", "datasets", "numpy", "rich"}


def test_help_comes_within_half_a_second() -> None:
    assert comes_within(0.5, "-m", "superalign.commands.main", "--help")


def test_the_resolved_configuration_comes_within_one_and_a_half_seconds() -> None:
    assert comes_within(1.5, "-m", "superalign.commands.main", "config", "recipe=selfplay")


@pytest.mark.parametrize("argv", [["--help"], ["config"]])
def test_neither_help_nor_config_imports_a_heavy_library(argv: list[str]) -> None:
    code = f"from superalign.commands.main import main\ntry: main({argv})\nexcept SystemExit: pass"
    assert not HEAVY & imported(code)


def test_help_imports_neither_hydra_nor_any_plug_in() -> None:
    found = imported("from superalign.commands.main import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    plugins = ("superalign.training.algorithms", "superalign.roles", "superalign.weak_to_strong", "superalign.attacks")
    assert not {name for name in found if name.startswith(("hydra", "omegaconf", *plugins))}


def test_help_lists_every_recipe_group_task_and_method_with_its_line() -> None:
    shown = superalign("--help").stdout
    for group, options in (groups() | {"task": TASKS.names(), "method": METHODS.names()}).items():
        for option, line in options.items():
            assert any(f"{group}={option} " in row and line in row for row in shown.splitlines())


def test_help_says_that_settings_can_be_a_file_and_so_can_a_recipe() -> None:
    shown = superalign("--help").stdout
    assert "superalign train my.yaml seed=1" in shown
    assert "recipe=path/to/mine.py" in shown


def test_settings_may_stand_on_both_sides_of_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "seed=4", "--explain", "seed", "rounds=2"]) == 0
    assert capsys.readouterr().out.startswith("seed=4\n")


BAD: list[tuple[Sequence[str], str]] = [
    ([], "missing: VERB"),
    (["trian"], "unknown verb 'trian'; did you mean train?"),
    (["experts", "lable"], "did you mean label?"),
    (["train", "recipe=selfpaly"], "did you mean selfplay?"),
    (["train", "--fast"], "unrecognized arguments: --fast"),
    (["config", "expert.budget=-1"], "expert.budget=-1"),
    (["config", "seed=x"], "seed=x"),
    (["status", "nowhere"], "no run folder nowhere (runs under runs: tried)"),
    (["report", "runs"], "is no run folder"),
    (["logs"], "missing: RUN"),
    (["logs", "tried", "--actor", "nobody"], "no log of 'nobody'"),
    (["samples", "tried", "-n", "0"], "-n 0"),
    (["samples", "tried", "-n", "many"], "invalid int value: 'many'"),
    (["experts", "stats", "tried"], "no expert queue yet"),
    (["generate", "testbed", "--seed", "-1"], "'-1' should be a whole number that is 0 or more"),
    (["testbed", "build", "--seed", str(2**63)], "below 2**63"),
    (["testbed", "build", "--threads", "0"], "'0' should be a whole number above 0"),
    (["testbed", "build", "--out", "/dev/null/x"], "--out /dev/null/x cannot be written (Not a directory)"),
    (["recipe", "cpoy"], "did you mean copy?"),
    (["train", "--jobs", "2"], "--jobs is for --multirun"),
    (["train", "seed=1", "my.yaml"], "files come before all KEY=VALUE"),
    (["train", "nowhere.yaml"], "no such file: nowhere.yaml"),
    (["generate", "tried", "--role", "judge"], "unknown --role 'judge' (there is: attacker, critic, learner)"),
]


@pytest.mark.parametrize(("argv", "fragment"), BAD, ids=lambda part: " ".join(part) if isinstance(part, list) else "")
def test_a_mistake_is_one_line_and_exit_code_2(
    argv: list[str], fragment: str, run_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("superalign: ") and printed.err.count("\n") == 1
    assert fragment in printed.err


def test_the_command_itself_exits_with_2_and_no_traceback() -> None:
    done = superalign("config", "sed=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "superalign: unknown key sed; did you mean seed?\n"


def test_a_run_folder_of_another_version_is_refused(run_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_root / "runs/tried/format").write_text("99\n")
    assert main.main(["status", "tried"]) == 2
    assert "run format '99'" in capsys.readouterr().err


def test_status_report_and_logs_read_a_run_by_its_name(run_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_root / "runs/tried/logs/critic.log").write_text("the critic says so\n")
    for verb, line in (
        ("status", "runs/tried: before round 0, stopped; superalign train run.name=tried with the same settings "),
        ("logs", "the critic says so\n"),
        ("samples", "no samples in runs/tried yet\n"),
    ):
        assert main.main([verb, "tried"]) == 0
        assert line in capsys.readouterr().out
    assert main.main(["report", "runs/tried"]) == 0
    assert Path(capsys.readouterr().out.strip()) == (run_root / "runs/tried/report.html").resolve()


@pytest.mark.parametrize(("argv", "code"), [(["train"], 1), (["experts", "stats", "tried"], 0)])
def test_a_pipe_that_broke_under_work_is_no_success(
    argv: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(arguments: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(train, "train", broken)
    monkeypatch.setattr(experts, "stats", broken)
    spare = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: spare)
    assert main.main(argv) == code
    os.close(spare)
    assert ("whoever read the output has gone" in capsys.readouterr().err) is bool(code)


def test_a_pipe_that_broke_in_an_actor_is_that_actor_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: object) -> int:
        error = BrokenPipeError()
        error.add_note("in actor critic")
        raise error

    monkeypatch.setattr(config, "config", broken)
    with pytest.raises(BrokenPipeError):
        main.main(["config"])


def test_a_reader_that_leaves_early_causes_no_traceback() -> None:
    code = f"{sys.executable} -m superalign.commands.main config | true"
    done = subprocess.run(["bash", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""


def test_actor_lost_survives_the_way_between_processes() -> None:
    import pickle

    lost = pickle.loads(pickle.dumps(ActorLost("critic", "died")))
    assert (lost.actor, str(lost)) == ("critic", "died")
