"""`superalign eval`: the figures of a bare model or of a run's last weights, without training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from superalign.commands.main import main
from superalign.commands.shown import unit
from superalign.stats.format import number
from tests.roles.parts import RecordingTrainer, config, refuses_everything, write_run

SIZES = [
    *("evaluation.prompts=1", "evaluation.benign=4", "evaluation.lookalikes=4", "evaluation.critic_probe=8"),
    *("evaluation.final_factor=1", "evaluation.bootstrap=50", "data.limit=200"),
]


@pytest.fixture(autouse=True)
def _wide_and_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


def figures(said: str) -> dict[str, tuple[str, int]]:
    """(value, n) by name from the printed table."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    return {name: (value.replace("\N{NARROW NO-BREAK SPACE}", " "), int(n)) for name, value, _, n in rows}


def test_a_bare_model_is_evaluated_at_the_sizes_asked_for_under_the_names_of_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["eval", "testbed", *SIZES]) == 0
    said = capsys.readouterr()
    assert "testbed oracle (exact)" in said.out
    found = figures(said.out)
    assert found["attack success"] == ("100 %", 6)
    assert found["helpfulness"][1] == 4
    assert found["critic accuracy"][1] == 8
    assert not any("_" in name for name in found)


def test_progress_is_told_beside_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "testbed", *SIZES]) == 0
    said = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    told = ("loading the model", "reading the requests", "answering and judging")
    assert [line for line in said if line in told] == list(told)


def test_the_output_holds_fractions_and_all_that_they_depend_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "figures.json"
    assert main(["eval", "testbed", *SIZES, "--output", str(output)]) == 0
    shown, told = figures(capsys.readouterr().out), json.loads(output.read_text())
    assert (told["target"], told["model"], told["run"]) == ("testbed", "testbed", None)
    assert (told["judge"]["name"], told["judge"]["exact"]) == ("testbed oracle (exact)", True)
    assert told["settings"]["evaluation"]["benign"] == 4 and told["settings"]["seed"] == 0
    assert {each["title"] for each in told["figures"]} == set(shown)
    for each in told["figures"]:
        assert {"name", "value", "low", "high", "n"} <= each.keys()
        assert (
            number(each["value"], unit(each["name"])).replace("\N{NARROW NO-BREAK SPACE}", " ")
            == shown[each["title"]][0]
        )
        assert each["n"] == shown[each["title"]][1]


@pytest.mark.parametrize("output", ["nowhere/figures.json", "."])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_computed(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "testbed", "--output", output]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"superalign: --output {output}") and printed.count("\n") == 1


def test_a_run_is_evaluated_with_its_last_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, config(), refuses_everything())
    output = tmp_path / "figures.json"
    assert main(["eval", str(folder), *SIZES, "--output", str(output)]) == 0
    told = json.loads(output.read_text())
    found = {each["name"]: each["value"] for each in told["figures"]}
    assert found["helpfulness"] < 0.2
    assert found["over_refusal_rate"] > 0.8
    assert (told["run"], told["round"]) == (str(folder.resolve()), 0)


def test_one_override_leaves_the_rest_of_the_runs_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, config(evaluation={"judge": "frozen_critic"}), RecordingTrainer())
    assert main(["eval", str(folder), *SIZES]) == 0
    assert "frozen initial critic" in capsys.readouterr().out


def test_what_is_neither_run_nor_model_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("superalign: no run folder nowhere")
    assert len(said.splitlines()) == 1


def test_an_override_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "testbed", "evaluation.promts=1"]) == 2
    assert "evaluation.prompts" in capsys.readouterr().err
