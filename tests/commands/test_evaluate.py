"""`superalign eval`: the figures of a bare model or of a run's last weights, without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from superalign.commands.main import main
from tests.roles.parts import RecordingTrainer, config, refuses_everything, write_run

SIZES = [
    *("evaluation.prompts=1", "evaluation.benign=4", "evaluation.lookalikes=4", "evaluation.critic_probe=8"),
    *("evaluation.final_factor=1", "evaluation.bootstrap=50", "data.limit=200"),
]


@pytest.fixture(autouse=True)
def _wide_and_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


def figures(said: str) -> dict[str, tuple[float, int]]:
    """(value, n) by name from the printed table."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    return {name: (float(value), int(n)) for name, value, _, n in rows}


def test_a_bare_model_is_evaluated_at_the_sizes_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "testbed", *SIZES]) == 0
    said = capsys.readouterr().out
    assert "testbed oracle (exact)" in said
    found = figures(said)
    assert found["attack_success_rate"][1] == 6
    assert found["helpfulness"][1] == 4
    assert found["critic_accuracy"][1] == 8
    assert found["attack_success_rate"][0] > 0.6


def test_a_run_is_evaluated_with_its_last_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, config(), refuses_everything())
    assert main(["eval", str(folder), *SIZES]) == 0
    found = figures(capsys.readouterr().out)
    assert found["helpfulness"][0] < 0.2
    assert found["over_refusal_rate"][0] > 0.8


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
