"""The main job at its smallest: real roles, real TRL training, a real queue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.cli import main

SMALL = [
    *("attacker.seeds=8", "attacker.candidates=2", "learner.samples=2", "expert.budget=12", "evaluation.prompts=1"),
    *("evaluation.benign=4", "evaluation.lookalikes=4", "evaluation.critic_probe=16", "evaluation.final_factor=1"),
    *("evaluation.bootstrap=50", "data.limit=120", "cluster.threads=1"),
]


def train(root: Path, name: str, *more: str) -> int:
    return main(["train", "recipe=selfplay", f"run.root={root}", f"run.name={name}", *SMALL, *more])


def adapters(run: Path, number: int) -> dict[str, bytes]:
    folder = run / "rounds" / f"{number:04d}" / "adapters"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


def test_a_run_completes_and_keeps_the_contract_of_its_summary(tmp_path: Path) -> None:
    assert train(tmp_path, "whole", "cluster=inline", "rounds=1") == 0
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert summary["status"] == "complete" and summary["simulated_expert"] is True
    for name in ("attack_success_rate", "attack_success_rate_heldout_families", "over_refusal_rate", "helpfulness"):
        for when in ("first", "last"):
            figure = summary["metrics"][name][when]
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1 and figure["n"] > 0
    assert summary["metrics"]["expert_labels"]["used"] <= summary["metrics"]["expert_labels"]["budget"] == 12
    assert (tmp_path / "whole" / "report.html").is_file()


def test_a_resumed_run_ends_with_the_same_bits_as_an_uninterrupted_one(tmp_path: Path) -> None:
    assert train(tmp_path, "whole", "cluster=inline", "rounds=2") == 0
    assert train(tmp_path, "halves", "cluster=inline", "rounds=1") == 0
    assert train(tmp_path, "halves", "cluster=inline", "rounds=2") == 0
    assert adapters(tmp_path / "whole", 2) == adapters(tmp_path / "halves", 2)


def test_roles_as_ray_actors_give_the_same_bits_as_one_process(tmp_path: Path) -> None:
    assert train(tmp_path, "inline", "cluster=inline", "rounds=1") == 0
    assert train(tmp_path, "actors", "cluster=laptop", "rounds=1") == 0
    assert adapters(tmp_path / "inline", 1) == adapters(tmp_path / "actors", 1)


def test_a_complete_run_says_so_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "done", "cluster=inline", "rounds=1") == 0
    before = (tmp_path / "done" / "summary.json").read_bytes()
    assert train(tmp_path, "done", "cluster=inline", "rounds=1") == 0
    assert "nothing to do" in capsys.readouterr().err
    assert (tmp_path / "done" / "summary.json").read_bytes() == before
