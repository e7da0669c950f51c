"""Every setting of every learner algorithm does something, or is the loop's and said to be so here."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from superalign.config.sections import LearnerConfig
from superalign.records import Preference, Query, Response
from superalign.registry import LEARNERS
from superalign.training.algorithms.base import Algorithm
from superalign.training.batch import ScoredResponse, TrainingBatch, preference
from tests.roles.parts import config
from tests.training.tiny import answers, demonstrations, make_service, same, serving

# What the loop or a role reads, each with tests of its own there.
ELSEWHERE = {
    "algorithm": "which class trains",
    "samples": "how many answers are asked for",
    "max_new_tokens": "how long answers may be",
    "iterations": "how many phases a round has",
    "anchors": "how many answers are kept",
    "revise": "whether answers are revised",
    "contrast": "whether accepted answers get a contrast",
    "balance": "whether harmful and harmless pairs weigh the same",
    "revision_temperature": "at which revisions are sampled",
    "retained": "how many answers of the first learner are anchors",
    "retained_weight": "what a change of these costs",
    "reward": "who gives the rewards",
}
SAMPLING = {"temperature": "at which answers are sampled; a loss on pairs or single answers has no policy that acts"}
# For each setting another value; (value, what else must be set for it to matter).
OTHER: dict[str, tuple[Any, dict[str, Any]]] = {
    "learning_rate": (2e-3, {}),
    "epochs": (3, {}),
    "batch_size": (4, {}),
    "anchor_batch": (2, {}),
    "anchor_weight": (0.1, {}),
    "loss": ("dpo", {}),
    "beta": (0.3, {}),
    "ropo_alpha": (6.0, {"loss": "ropo"}),
    "nll": (0.5, {}),
    "max_pairs": (3, {}),
    "max_rows": (8, {}),
    "clip": (0.001, {}),
    "kl": (0.5, {}),
    "kl_target": (None, {}),
    "gae_lambda": (0.5, {}),
    "value_learning_rate": (1e-1, {}),
    "temperature": (0.5, {}),
}
LATER = {"kl_target", "value_learning_rate"}  # they change how the next phase begins
SHORT = {"learning_rate": 5e-3, "epochs": 2, "batch_size": 6, "anchor_batch": 3}
CASES = [
    (name, field)
    for name in LEARNERS.builtin
    if name != "online_dpo"
    for field in LEARNERS.load(name).Settings.model_fields
    if field not in ELSEWHERE and not (field in SAMPLING and not LEARNERS.load(name).on_policy)
]


@cache
def batches(model: str) -> list[TrainingBatch]:
    """Two batches of answers, with labels, of a policy that is not quite the base."""
    generator, made = serving(model)[1], []
    for seed in (0, 1):
        scored, pairs = [], []
        for place, row in enumerate(answers(generator, seed, samples=3)):
            prompt, ids = tuple(row["prompt_ids"]), tuple(row["completion_ids"])
            logprobs = tuple(x - 0.05 * (place % 3) for x in row["logprobs"])
            answer = Response(str(place), row["group"], "", prompt, ids, logprobs, "sample", 0)
            scored.append(ScoredResponse(answer, 0.9 - 0.03 * place if row["reward"] else 0.2, 0.3 + 0.02 * place))
        for good, bad in zip(scored[::2], scored[1::2], strict=True):
            pairs.append(pair(good.response, bad.response, 0.6 + good.p / 3, good.w))
        made.append(TrainingBatch(pairs, scored))
    return made


def pair(chosen: Response, rejected: Response, q: float, w: float) -> Preference:
    query = Query(chosen.query_id, "s", "text", "benign", "everyday", "plain", "", 0)
    return preference(query, chosen, rejected, q, w, "critic")


def trained(model: str, name: str, phases: int, **given: Any) -> dict[str, Any]:
    """The adapter after so many phases of these settings."""
    settings: LearnerConfig = config(learner={"algorithm": name, **SHORT, **given}).learner
    algorithm: Algorithm = LEARNERS.load(name)(settings)
    service = make_service(model, ("learner",))
    for seed, batch in enumerate(batches(model)[:phases]):
        rows: list[dict[str, Any]] = algorithm.rows(batch)  # type: ignore[attr-defined]
        service.train("learner", name, rows, algorithm.phase(settings.rate(1)), demonstrations(5), seed)
    return service.adapter("learner")


@cache
def usual(model: str, name: str, phases: int, **given: Any) -> dict[str, Any]:
    return trained(model, name, phases, **given)


@pytest.mark.parametrize(("name", "field"), CASES)
def test_another_value_of_a_setting_trains_another_adapter(tiny_model: str, name: str, field: str) -> None:
    value, others = OTHER[field]
    phases = 1 + (field in LATER)
    other = trained(tiny_model, name, phases, **others, **{field: value})
    assert not same(other, usual(tiny_model, name, phases, **others))


def test_the_same_settings_train_the_same_adapter(tiny_model: str) -> None:
    assert same(trained(tiny_model, "rloo", 1), usual(tiny_model, "rloo", 1))


def test_online_dpo_trains_as_dpo_does() -> None:
    dpo, online = LEARNERS.load("dpo"), LEARNERS.load("online_dpo")
    assert (online.Phase, online.trainer.__func__) == (dpo.Phase, dpo.trainer.__func__)
    assert online.Settings.model_fields.keys() == dpo.Settings.model_fields.keys()
