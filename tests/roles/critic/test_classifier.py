"""A critic without words: a linear correction of the initial verdicts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from superalign.generation.hf import HFGenerator
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import RecordingTrainer, config, critic, labelled, query, response, serve

BUILD = Request("build", "kite", "for my aunt")
ASK = query(f"how do i {BUILD.core}?")
CASES = [(ASK, response(ASK, BUILD.answer())), (ASK, response(ASK, REFUSALS[0]))]
NO_EXTRAS: dict[str, Any] = {"synthetic_flaw_share": 0.0, "retention_rows": 0, "calibration_share": 0.0}


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


def test_a_classifier_that_has_learned_nothing_gives_the_initial_verdicts(shipped: HFGenerator) -> None:
    plain = critic(config(), shipped).judge_points(CASES, 0)
    classifier = critic(config(critic={"kind": "classifier"}), shipped).judge_points(CASES, 0)
    assert [j.logit for j in classifier] == pytest.approx([j.logit for j in plain], abs=1e-4)


def test_a_restored_classifier_judges_as_before(shipped: HFGenerator) -> None:
    settings = config(critic={**NO_EXTRAS, "kind": "classifier", "variance": "ensemble", "members": 3})
    made = critic(settings, shipped, RecordingTrainer())
    labels = [labelled(i, float(i % 3 == 0)) for i in range(12)]
    made.learn(labels, [], [], 0)
    again = critic(settings, shipped)
    again.restore(json.loads(json.dumps(made.state())), labels)
    assert again.judge_points(CASES, 0) == made.judge_points(CASES, 0)
    assert all(j.variance > 0 for j in again.judge_points(CASES, 0))
