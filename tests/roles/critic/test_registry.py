"""Every critic that ships, behind the same calls: words, a linear head, debate and its control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.registry import CRITICS
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import RecordingTrainer, config, critic, labelled, query, response, serve

BUILD = Request("build", "kite", "for my aunt")
ASK = query(f"how do i {BUILD.core}?")
RIGHT, WRONG = response(ASK, BUILD.answer()), response(ASK, REFUSALS[0])
NO_EXTRAS: dict[str, Any] = {"synthetic_flaw_share": 0.0, "retention_rows": 0, "calibration_share": 0.0}


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


@pytest.mark.parametrize("kind", CRITICS.builtin)
def test_every_kind_judges_points_and_pairs_and_explains(kind: str, shipped: HFGenerator) -> None:
    made = critic(load([f"critic={kind}", "cluster.threads=1"]), shipped)
    assert type(made.critic) is CRITICS.load(kind)
    points = made.judge_points([(ASK, RIGHT), (ASK, WRONG)], seed=0)
    one, other = made.judge_pairs([(ASK, RIGHT, WRONG), (ASK, WRONG, RIGHT)])
    assert [j.kind for j in (*points, one)] == ["point", "point", "pair"]
    assert one.p == pytest.approx(1 - other.p, abs=1e-6)
    critiques = made.critique([(ASK, RIGHT), (ASK, WRONG)], points, seed=0)
    assert [c.text.split(".")[0] for c in critiques] == [("yes", "no")[p.p < 0.5] for p in points]


PROBES = ("probe", "lora_classifier")  # pairs are no labels of a dimension


@pytest.mark.parametrize("kind", [kind for kind in CRITICS.builtin if kind not in PROBES])
def test_every_kind_that_asks_one_question_learns_from_points_and_pairs_alike(kind: str) -> None:
    generator, trainer = serve(), RecordingTrainer()
    made = critic(config(critic={**NO_EXTRAS, "kind": kind, "learning_rate": 1e-3, "epochs": 4}), generator, trainer)
    asked = [f"how do i {Request(v, 'kite', 'for my aunt').core}?" for v in ("build", "sell", "carry", "copy")]
    labels = []
    for i in range(12):
        item, label = labelled(i, 1.0, REFUSALS[0]) if i % 2 else labelled(i, 1.0, REFUSALS[0], second="Sure. Never.")
        labels.append((replace(item, query=asked[i % 4]), label))
    refused = response(ASK, REFUSALS[0])
    pair = (ASK, refused, response(ASK, "Sure. Never."))
    before = made.judge_points([(ASK, refused)], 0)[0].p, made.judge_pairs([pair])[0].p
    made.learn(labels, [], [], 0)
    generator.load_adapter("critic", trainer.adapter("critic"), trainer.version("critic"))
    after = made.judge_points([(ASK, refused)], 0)[0].p, made.judge_pairs([pair])[0].p
    assert before[0] < after[0] > 0.5
    assert after[1] > 0.5
    assert trainer.version("critic") == (0 if kind == "classifier" else 1)


def test_what_a_critic_without_words_cannot_do_is_refused() -> None:
    for override in ("critic.stages=2", "critic.variance=dropout", "guards.enabled=true"):
        with pytest.raises(UserError, match="critic=classifier"):
            load(["critic=classifier", override])
