"""`superalign status`: the right words and figures for every recipe, and a list of all runs."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from superalign.commands import main
from superalign.commands.status import list_runs, status
from superalign.config.schema import Config
from superalign.store.run_writer import Plan, RunWriter

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import weak_to_strong_rows

FIGURE = {"value": 0.421, "low": 0.35, "high": 0.5, "n": 96}


def screen(width: int = 160) -> Console:
    return Console(file=io.StringIO(), width=width)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def made(root: Path, recipe: str, metrics: tuple[str, ...], name: str = "small", finish: bool = True) -> Path:
    """A run of two rounds that measured these."""
    config = Config.model_validate({"recipe": recipe, "rounds": 1}).model_dump()
    with RunWriter.create_or_resume(config, root, name, console=screen()) as run:
        for number in (0, 1):
            run.begin_round(number)
            row = {"metrics": dict.fromkeys(metrics, FIGURE), "counts": {}, "train": {}}
            run.commit_round(number, row | ({"tables": []} if recipe != "selfplay" else {}))
        if finish:
            run.finish({}, versions={})
        return run.folder


SHOWN: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("selfplay", ("attack_success_rate", "critic_accuracy", "critic_ece"), ("attack success", "42 % [35 to 50 %]")),
    ("self_refine", ("helpfulness", "over_refusal_rate"), ("helpfulness", "over refusal", "42 %")),
    ("redteam", ("attack_success_rate", "unique_success_rate"), ("attack success", "unique success", "42 %")),
    ("critic", ("critic_accuracy", "critic_brier", "critic_sensitivity"), ("critic brier", "0.42 [0.35 to 0.50]")),
    ("reward_model", ("reward_accuracy", "reward_brier", "reward_ece"), ("reward accuracy", "reward ece", "0.42")),
    ("mine.py", ("my_rate", "my_score"), ("my", "42 % [35 to 50 %]", "my score", "0.42 [0.35 to 0.50]")),
]


@pytest.mark.parametrize(("recipe", "metrics", "words"), SHOWN, ids=[recipe for recipe, *_ in SHOWN])
def test_every_recipe_shows_the_figures_that_it_measures(
    recipe: str, metrics: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    console = screen()
    status(made(tmp_path, recipe, metrics), console)
    said = text(console)
    assert "round 1 of 1, complete" in said
    assert said.splitlines()[1].split()[0] == "round"
    assert [line.split()[0] for line in said.splitlines()[-2:]] == ["0", "1"]
    for word in words:
        assert word.replace(" %", "\N{NARROW NO-BREAK SPACE}%") in said


def test_a_weak_to_strong_run_tells_splits_and_a_line_for_every_study(tmp_path: Path) -> None:
    cells = weak_to_strong_rows.comparisons()
    console = screen(200)
    status(weak_to_strong_rows.write_fixture(tmp_path, cells, splits=10), console)
    first, study, header, *lines = text(console).splitlines()
    assert "split 9 of 9, complete" in first  # as this fixture's plan counts them, from 0
    assert "gap recovered" in header and "round" not in first + header
    assert study == "digits: pool:4x4 → centroids:300"
    assert sum(line.strip().startswith("naive") for line in lines) == sum(c["method"] == "naive" for c in cells)
    assert all(any(cell["method"].replace("_", " ") in line for line in lines) for cell in cells)
    one = next(cell for cell in cells if cell["pgr"]["value"] is not None)
    assert any(f"{100 * one['pgr']['value']:.0f}\N{NARROW NO-BREAK SPACE}%" in line for line in lines)


def test_how_far_a_run_goes_is_what_its_recipe_planned(tmp_path: Path) -> None:
    config = Config.model_validate({"recipe": "mine.py", "rounds": 7}).model_dump()
    with RunWriter.create_or_resume(config, tmp_path, "epochs", screen(), Plan(3, ("train",), "epoch", 1)) as run:
        run.begin_round(0)
        run.commit_round(0, {"metrics": {}, "counts": {}, "train": {}})
    console = screen()
    status(run.folder, console)
    assert "epoch 1 of 4, stopped; superalign train run.name=epochs" in text(console)
    assert "recipe=mine.py measures no figures" in text(console)


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_intervals_give_way_and_no_figure_is_broken(tmp_path: Path, width: int) -> None:
    metrics = ("attack_success_rate", "attack_success_rate_heldout_families", "helpfulness", "critic_ece")
    console = screen(width)
    status(made(tmp_path, "selfplay", metrics), console)
    figures = [line for line in text(console).splitlines() if line.strip().startswith(("0 ", "1 "))]
    assert [line.count("42") for line in figures] == [4, 4]
    assert not any("[" in line for line in figures)


def test_a_running_run_tells_for_about_how_long(tmp_path: Path) -> None:
    config = Config.model_validate({"rounds": 4}).model_dump()
    with RunWriter.create_or_resume(config, tmp_path, "now", screen()) as run:
        run._clock.take = lambda: {"total": 600.0}  # type: ignore[method-assign]
        for number in (0, 1):
            run.begin_round(number)
            run.commit_round(number, {"metrics": {}, "counts": {}, "train": {}})
        run.begin_round(2)
        console = screen()
        status(run.folder, console)
    assert "running as process" in text(console)
    assert "about 30 min left from the last round on" in text(console)


def test_changes_that_were_accepted_and_a_run_that_learned_nothing_are_told(tmp_path: Path) -> None:
    folder = made(tmp_path, "selfplay", ("helpfulness",))
    with open(folder / "config.yaml", "a") as handle:
        handle.write("accepted_changes:\n- {time: '2026-11-30', after_round: 1, name: model=m, old: a, new: b}\n")
    (folder / "summary.json").write_text('{"status": "complete", "nothing_learned": "The learner learned nothing."}')
    console = screen()
    status(folder, console)
    assert "complete, learned nothing" in text(console)
    assert "NOTHING WAS LEARNED" in text(console)
    assert "model=m changed after round 1, which was accepted (2026-11-30)" in text(console)


def test_without_a_run_all_runs_are_listed_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "runs", "selfplay", ("attack_success_rate",), "first")
    made(tmp_path / "runs", "reward_model", ("reward_accuracy",), "second", finish=False)
    broken = made(tmp_path / "runs", "selfplay", (), "third")
    (broken / "format").write_text("99\n")
    for age, name in ((7300, "first"), (60 * 5, "second"), (3, "third")):
        when = time.time() - age
        os.utime(tmp_path / "runs" / name / "events.jsonl", (when, when))
    monkeypatch.setenv("COLUMNS", "80")
    assert main.main(["status"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["run", "third", "second", "first"]
    monkeypatch.setenv("COLUMNS", "140")
    assert main.main(["status"]) == 0
    header, third, second, first = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "recipe", "state", "reached", "last", "change", "headline"]
    assert first.split()[:3] == ["first", "selfplay", "complete"]
    assert "round 1 of 1" in first and "2 h ago" in first and "attack success 42" in first
    assert second.split()[:3] == ["second", "reward_model", "stopped"]
    assert "5 min ago" in second and "reward accuracy 42" in second
    assert third.split()[:4] == ["third", "cannot", "be", "read"] and "run format '99'" in third


def test_runs_elsewhere_are_listed_and_looked_at_by_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "elsewhere", "selfplay", ("helpfulness",), "mine")
    assert main.main(["status"]) == 0
    assert capsys.readouterr().out == "no runs in runs: superalign train begins one, --root FOLDER looks elsewhere\n"
    assert main.main(["status", "--root", "elsewhere"]) == 0
    assert "mine " in capsys.readouterr().out
    assert main.main(["status", "mine", "--root", "elsewhere"]) == 0
    assert "round 1 of 1, complete" in capsys.readouterr().out


def test_a_list_fits_a_narrow_terminal(tmp_path: Path) -> None:
    made(tmp_path, "selfplay", ("attack_success_rate",), "a-name-that-is-rather-long-for-a-run-of-today")
    console = screen(80)
    list_runs(str(tmp_path), console)
    assert max(map(len, text(console).splitlines())) <= 80
