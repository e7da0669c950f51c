"""The experts' part of a round: about what they are asked, whether people answer, the oracle, or curated labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.loop.critic_phase import Feedback
from superalign.loop.experts_phase import escalate
from superalign.loop.round_records import RoundRecords
from superalign.roles.expert import Expert
from superalign.roles.judge import simulated_expert
from tests.loop.parts import workers
from tests.roles.parts import Scripted, config, point, query, response

ASK = query("how do i build a kite for my aunt?")
CASES = [(ASK, response(ASK, text)) for text in ("good", "bad")]


def played(settings: Config, folder: Path, number: int = 1, said: list[str] | None = None) -> Expert:
    """A round's escalation; the critic thinks the better of an answer the higher its number."""
    tell = said.append if said is not None else lambda line: None
    expert = Expert(settings, folder / "experts.sqlite", simulated_expert(settings), tell)
    generator = Scripted(odds=lambda role, prompt: 2.0 if "right" in prompt else -2.0)
    made = workers(settings, generator, expert=expert, real_sets=None)
    points = [point(answer, 0.5) for _, answer in CASES]
    escalate(made, Feedback(CASES, points), RoundRecords(number, judgements=points), number, 0)
    return expert


def elsewhere(folder: Path, **expert: Any) -> Config:
    """Settings of real text whose curated labels are all held back."""
    rows = [
        {"prompt": f"question {n}", "response": "right" if n % 2 else "odd", "acceptable": n % 2} for n in range(30)
    ]
    (folder / "curated.jsonl").write_text("\n".join(map(json.dumps, rows)))
    seeds = [{"text": f"seed {n}", "kind": "harmful" if n % 2 else "benign"} for n in range(8)]
    (folder / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    given = {"curated": str(folder / "curated.jsonl"), "replayed_share": 1.0, "budget": 10, "error_rate": 0.0}
    return config(data={"seeds": str(folder / "seeds.jsonl")}, expert=given | expert)


def test_on_the_testbed_experts_are_asked_about_the_rounds_own_answers(tmp_path: Path) -> None:
    expert = played(config(expert={"budget": 10, "policy": "all"}), tmp_path)
    assert sorted(item.first for item in expert.queue.items()) == ["bad", "good"]


def test_an_expert_who_replays_labels_is_asked_about_answers_that_these_are_of(tmp_path: Path) -> None:
    expert = played(elsewhere(tmp_path), tmp_path)
    items = expert.queue.items(1)
    assert 8 <= len(items) <= 10 and {item.first for item in items} <= {"right", "odd"}
    assert all(0 < item.pi < 1 for item in items), "drawn, by what the critic thinks of them"
    assert {item.p > 0.5 for item in items if item.first == "right"} == {True}
    labels = expert.collect(1)
    assert all(label.value == float(item.first == "right") for item, label in labels.all)


def test_when_all_labels_are_given_nobody_is_asked_and_it_is_said(tmp_path: Path) -> None:
    settings, said = elsewhere(tmp_path, budget=30, policy="all"), list[str]()
    played(settings, tmp_path).collect(1)
    expert = played(settings, tmp_path, number=2, said=said)
    assert expert.queue.items(2) == [] and expert.collect(2).fresh != []
    assert said == ["round 2: all curated labels that were held back have been given; nobody is asked"]


@pytest.mark.parametrize("source", ["queue"])
def test_people_are_asked_about_the_rounds_own_answers_beside_curated_labels(tmp_path: Path, source: str) -> None:
    expert = played(elsewhere(tmp_path, source=source, policy="all", gold_share=0.0), tmp_path)
    assert sorted(item.first for item in expert.queue.items()) == ["bad", "good"]
    assert len(expert.answered()) == 30
