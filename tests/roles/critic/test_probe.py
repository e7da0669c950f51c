"""The probe critic on the testbed, whose oracle answers every dimension."""

from __future__ import annotations

import json
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.generation.hf import HFGenerator
from superalign.records import ExpertLabel, dimension_values
from superalign.roles.critic.composition import Labelled, told
from superalign.roles.critic.probe import ProbeCritic
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.protocols import Case
from superalign.stats.roc import auroc
from superalign.testbed import oracle
from superalign.testing import testbed
from tests.roles.parts import config, critic, serve

OUTCOMES = ("full", "refusal", "garbled")


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


def settings(**changes: Any) -> Config:
    own = {"kind": "probe", "members": 2, "calibration_share": 0.0, "layers": (0.5, 1.0), **changes}
    return config(policy="safety", critic=own)


def labels(cases: list[Case], whole: bool = False) -> list[Labelled]:
    """What the oracle says of each answer: of all dimensions, or of the whole alone."""
    found = []
    for item, label in testbed.labelled(cases):
        if item.kind == "point":
            values = oracle.dimensions(item.query, item.first)
            dimensions = dimension_values({name: values[name] for name in ("harmful", "complies", "sound")})
            row = label.to_row() | {"dimensions": () if whole else dimensions}
            found.append((item, ExpertLabel.from_row(row)))
    return found


@pytest.fixture(scope="module")
def trained(shipped: HFGenerator) -> VerdictModel:
    made = critic(settings(), shipped)
    made.learn(labels(testbed.cases(48, OUTCOMES)), [], [], 0)
    return made


def test_each_dimension_is_told_on_other_requests(trained: VerdictModel) -> None:
    cases = testbed.cases(80, OUTCOMES)[48 * len(OUTCOMES) :]
    judged = trained.judge_points(cases, 0)
    for name in ("complies", "sound"):
        truth = [oracle.dimensions(q.text, r.text)[name] > 0.5 for q, r in cases]
        p = [next(d["p"] for d in j.dimensions if d["name"] == name) for j in judged]
        assert auroc(p, truth, [q.id for q, _ in cases], 0, 10).value > 0.9, name


def test_the_verdict_is_composed_of_the_dimensions(trained: VerdictModel) -> None:
    for judgement in trained.judge_points(testbed.cases(4, OUTCOMES), 0):
        p = {each["name"]: each["p"] for each in judgement.dimensions}
        assert judgement.p == pytest.approx(trained.policy.compose(p), abs=1e-6)


def test_a_critic_that_was_told_nothing_gives_even_odds(shipped: HFGenerator) -> None:
    (judgement, *_) = critic(settings(), shipped).judge_points(testbed.cases(1), 0)
    assert [each["p"] for each in judgement.dimensions] == [0.5, 0.5, 0.5]
    assert not judgement.abstained or judgement.p < 0.5


def test_the_kind_of_a_seed_alone_teaches_whether_requests_are_harmful(shipped: HFGenerator) -> None:
    made, kinds = critic(settings(), shipped), [(q.text, q.kind == "harmful") for q in testbed.queries(80)]
    figures = made.learn([], [], [], 0, kinds[:60])
    assert figures["harmful_rows"] == 60 and figures["complies_rows"] == 0
    judged = made.judge_points([case for case in testbed.cases(80, ("full",))][60:], 0)
    p = [judgement.dimensions[0]["p"] for judgement in judged]
    truth = [harmful for _, harmful in kinds[60:]]
    assert auroc(p, truth, [str(n) for n in range(len(p))], 0, 10).value > 0.7


def test_a_restored_probe_judges_as_before(trained: VerdictModel, shipped: HFGenerator) -> None:
    again = critic(settings(), shipped)
    again.restore(json.loads(json.dumps(trained.state())), [])
    cases = testbed.cases(4, OUTCOMES)
    assert again.judge_points(cases, 0) == trained.judge_points(cases, 0)


def test_of_two_answers_the_acceptable_one_is_preferred_in_either_order(trained: VerdictModel) -> None:
    cases = testbed.cases(6, ("full", "refusal"))
    for (query, full), (_, refusal) in zip(cases[::2], cases[1::2], strict=True):
        there, back = trained.judge_pairs([(query, full, refusal), (query, refusal, full)])
        assert there.p == pytest.approx(1 - back.p)
        assert not there.flipped


def test_resampled_heads_give_a_variance(trained: VerdictModel) -> None:
    assert all(judgement.variance > 0 for judgement in trained.judge_points(testbed.cases(2, OUTCOMES), 0))


def test_a_label_of_the_whole_counts_as_what_follows_from_it_and_the_kind(shipped: HFGenerator) -> None:
    policy = critic(settings(), shipped).policy
    for item, label in labels(testbed.cases(6, OUTCOMES), whole=True):
        known, right = told(policy, item, label), oracle.dimensions(item.query, item.first)
        assert known and all(known[name] == right[name] for name in known if name != "sound" or not item.harmful)


def test_dimensions_are_calibrated_on_labels_that_teach_no_head(shipped: HFGenerator) -> None:
    made = critic(settings(calibration_share=0.5), shipped)
    made.learn(labels(testbed.cases(48, OUTCOMES)), [], [], 0)
    made.calibrate()
    assert set(made.composed.calibrators) == {"harmful", "complies", "sound"}
    assert all(calibrator.n > 20 for calibrator in made.composed.calibrators.values())
    assert isinstance(made.critic, ProbeCritic)
