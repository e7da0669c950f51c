"""`superalign train --dry-run`: what would run, without writing anything."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from superalign.commands import main
from superalign.config.paths import groups
from tests.smallest import SMALL
from tests.store import parts as writer


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def numbers(shown: str, line: str) -> list[int]:
    """The numbers of a line of the table."""
    (found,) = re.findall(rf"^{re.escape(line)} +([\d, ]+)$", shown, re.MULTILINE)
    return [int(number.replace(",", "")) for number in found.split()]


def test_a_dry_run_tells_model_memory_calls_steps_labels_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["train", "--dry-run", "rounds=3", *SMALL, "cluster=inline"]) == 0
    shown = capsys.readouterr().out
    assert "recipe     selfplay\n" in shown
    assert "testbed: 1,967,808 parameters; an adapter of 233,472 each: attacker, critic, learner" in shown
    assert re.search(r"learner worker: about \d+ MB \(bases 8 MB, adapters 6 MB, Adam 6 MB, activations", shown)
    assert "experts: simulated, 12 labels a round at most" in shown
    assert numbers(shown, "expert labels") == [0, 12, 12, 36]
    first, between, last, whole = numbers(shown, "new tokens")
    assert whole == first + 2 * between + last
    assert re.search(
        r"time, at most about .* by a timing of \d+ s on this machine|time is not estimated: a timing", shown
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", groups()["recipe"])
def test_every_recipe_that_ships_can_be_told(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--dry-run", f"recipe={recipe}", "generator=vllm"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"recipe     {recipe}\n")
    assert "not estimated" in shown
    assert ("whole run" in shown) == (recipe != "weak_to_strong")


def test_what_was_understood_of_the_data_is_told_and_the_requests_are_covered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"request {n}", "label": "safe" if n % 2 else "unsafe"} for n in range(40)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [{"question": f"request {n}", "response_j": "yes", "response_k": "no"} for n in range(60)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    for given, told in (
        (["data.seeds=mine.jsonl"], "40 rows: 20 harmful, 20 benign"),
        (["recipe=reward_model", "data=pairs.json"], "60 rows: 60 pairs, 60 different prompts"),
    ):
        assert main.main(["train", "--dry-run", *given, "generator=vllm"]) == 0
        shown = capsys.readouterr().out
        assert told in shown and "held out; the first, covered: [redacted: 2 words]" in shown
        assert "request 1" not in shown


def test_a_copied_recipe_has_the_plan_of_what_it_copies(capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["recipe", "copy", "selfplay", "mine.py"])
    capsys.readouterr()
    told = []
    for recipe in ("selfplay", "mine.py"):
        assert main.main(["train", "--dry-run", f"recipe={recipe}", "generator=vllm"]) == 0
        told.append(capsys.readouterr().out.partition("\n")[2])
    assert told[0] == told[1]


def test_of_a_recipe_without_a_plan_the_models_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("def main(config):\n    return 0\n")
    assert main.main(["train", "--dry-run", "recipe=mine.py"]) == 0
    shown = capsys.readouterr().out
    assert "testbed: 1,967,808 parameters" in shown
    assert "recipe=mine.py has no plan(config)" in shown


def test_a_run_that_is_there_would_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writer.opened(tmp_path / "runs", "tried") as run:
        run.begin_round(0)
        run.commit_round(0, {"metrics": {}})
    before = sorted(path for path in tmp_path.rglob("*"))
    assert main.main(["train", "--dry-run", "run.name=tried", "generator=vllm"]) == 0
    assert "runs/tried, which would go on after round 0" in capsys.readouterr().out
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_model_that_is_not_here_is_told_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main.main(["train", "--dry-run", "model=hub:nobody/nothing"]) == 0
    shown = capsys.readouterr().out
    assert "model=hub:nobody/nothing: its size cannot be told" in shown
    assert "time is not estimated: the model's size is not known here" in shown
    assert numbers(shown, "expert labels")[-1] == 7 * 48


def test_wrong_settings_are_refused_as_in_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--dry-run", "learner.epochs=0"]) == 2
    assert "learner.epochs=0" in capsys.readouterr().err


def test_every_run_of_a_sweep_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "--multirun", "--dry-run", "seed=1,2", "run.name=try", "generator=vllm"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("run try")] == ["run try_seed=1", "run try_seed=2"]
