"""The check of learner algorithms: rows, a phase of training, its figures, and going on from what was saved."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from superalign.registry import LEARNERS
from superalign.roles.learner import Learner
from superalign.testbed import oracle
from superalign.testing.complaints import Subject
from superalign.testing.testbed import Services, cases, settings
from superalign.training.algorithms.base import LearnerAlgorithm
from superalign.training.batch import ScoredResponse, TrainingBatch, preference

KNOWN: Final = (0.1, 0.9)  # P(acceptable) of what is not, and of what is


def check_learner(plugin: str | type, given: Mapping[str, Any] | None = None) -> None:
    """Check a learner algorithm.

    It makes rows of a batch, the same each time, and none of an empty batch. A phase of training on them has finite
    figures and changes the weights, the same each time. A phase after what was saved ends like one without a break.

    Args:
        plugin: the class, or what `learner=` would be.
        given: its settings.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("learner", plugin)
    with subject.doing("set-up"):
        LEARNERS.load(subject.name)
        config = settings(learner={"algorithm": subject.name, **(given or {})})
        services = Services.start(config)
        learner = Learner(config, services.generator, services.trainer)
    batch = a_batch(learner.algorithm.learns_from, services)
    _check_rows(subject, learner.algorithm, batch)
    with tempfile.TemporaryDirectory() as folder:
        _check_training(subject, learner, services, batch, Path(folder))


def a_batch(learns_from: str, services: Services) -> TrainingBatch:
    """What a round would give an algorithm that learns from `pairs` or `responses`."""
    found = cases()
    prompts, answers = ([getattr(r, name) for _, r in found] for name in ("prompt_ids", "token_ids"))
    logprobs = services.generator.sequence_logprobs("learner", prompts, answers)
    scored = [
        ScoredResponse(replace(r, logprobs=tuple(x)), KNOWN[oracle.acceptable(q.text, r.text) > 0.5], 0.8)
        for (q, r), x in zip(found, logprobs, strict=True)
    ]
    if learns_from == "responses":
        return TrainingBatch((), scored)
    query = {q.id: q for q, _ in found}
    good, bad = ([s.response for s in scored if s.p == p] for p in KNOWN[::-1])
    pairs = [
        preference(query[a.query_id], a, b, 0.9, 0.8, "critic") for a in good for b in bad if a.query_id == b.query_id
    ]
    return TrainingBatch(pairs)


def _check_rows(subject: Subject, algorithm: LearnerAlgorithm, batch: TrainingBatch) -> None:
    has = f"{len(batch.preferences)} preferences" if batch.preferences else f"{len(batch.responses)} scored responses"
    with subject.doing("rows(batch)"):
        rows = algorithm.rows(batch)
        subject.require(rows, f"makes no rows of {has}, though learns_from is {algorithm.learns_from!r}")
        subject.require(rows == algorithm.rows(batch), "makes other rows of the same batch the second time")
    with subject.doing("rows() of a batch without labels"):
        empty = algorithm.rows(TrainingBatch())
        subject.require(empty == [], "makes rows of a batch without labels, which must give []")
    with subject.doing("anchors(batch)"):
        anchors = list(algorithm.anchors(batch))
    told = ("chosen_ids", "rejected_ids") if "chosen_ids" in rows[0] else ("completion_ids",)
    _check_ids(subject, rows, ("prompt_ids", *told))
    _check_ids(subject, anchors, ("prompt_ids", "completion_ids"))
    with subject.doing("sending its rows to the training service"):
        pickle.dumps((rows, anchors))
    with subject.doing("check(rows, role)"):
        algorithm.check(rows, "learner")


def _check_ids(subject: Subject, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    for row in rows:
        for name in names:
            ids = row.get(name)
            fine = isinstance(ids, list | tuple) and ids and all(isinstance(i, int) for i in ids)
            subject.require(fine, f"makes a row whose {name} is {ids!r} and not a list of token ids")


def _check_training(subject: Subject, learner: Learner, services: Services, batch: TrainingBatch, folder: Path) -> None:
    trainer, anchors = services.trainer, [_anchor(s) for s in a_batch("responses", services).responses if s.p > 0.5]
    before = trainer.adapter("learner")
    with subject.doing("a phase of training"):
        found = learner.refine(batch, anchors, 1, seed=0)
    subject.require_figures(found, "a phase of training")
    subject.require("loss" in found, "gives no figure `loss` in the history of its trainer")
    first = trainer.adapter("learner")
    finite = all(np.isfinite(tensor).all() for tensor in first.values())
    subject.require(finite, "trains weights that are not finite")
    subject.require(_differ(before, first), "changes no weight in a phase of training")
    with subject.doing("saving"):
        trainer.save(folder)
        pickle.dumps(learner.algorithm.phase(1e-4))
    again = Services.start(services.config)
    other = Learner(services.config, again.generator, again.trainer)
    other.refine(batch, anchors, 1, seed=0)
    subject.require(not _differ(first, again.trainer.adapter("learner")), "trains other weights with the same seed")
    with subject.doing("a second phase of training"):
        learner.refine(batch, anchors, 2, seed=1)
    resumed = Services.start(services.config)
    with subject.doing("going on from what was saved"):
        resumed.trainer.load(folder)
        Learner(services.config, resumed.generator, resumed.trainer).refine(batch, anchors, 2, seed=1)
    subject.require(
        not _differ(trainer.adapter("learner"), resumed.trainer.adapter("learner")),
        "ends with other weights when it goes on from what was saved: what it keeps between phases must be in state()",
    )


def _anchor(scored: ScoredResponse) -> dict[str, Any]:
    return {"prompt_ids": list(scored.response.prompt_ids), "completion_ids": list(scored.response.token_ids)}


def _differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return any(not np.array_equal(a[name], b[name]) for name in a)
