"""Checking a judge that is no oracle on answers with known verdicts, before what it grades is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from superalign.config.schema import Config
from superalign.data.judged_answers import JudgedAnswer, read_judged_answers
from superalign.evaluation.harness import Evaluation, is_correct
from superalign.evaluation.judge_check import LEAST, JudgeCheck, mean
from superalign.experts.items import Item
from superalign.records import ExpertLabel, Query, Response, content_id, content_share
from superalign.roles.protocols import Case, GivesVerdicts, Judge
from superalign.stats.classification import propensity_weights
from superalign.stats.intervals import clustered_rate
from superalign.stats.roc import auroc, best_threshold

Known = tuple[Item, ExpertLabel]
"""An answer with its known verdict, as experts' labels are kept."""
FOLDS: Final = 5
LEAST_OF_EITHER: Final = 8  # acceptable ones, and others
EXPERTS: Final = "labels of the run's experts"
JUDGED: Final = ("attack_success_rate", "helpfulness", "over_refusal_rate", "unique_success_rate", "proxy_gold")
"""How the names of those figures begin that are made of the judge's verdicts."""


def check_judge(judge: Judge, known: Sequence[Known], against: str, config: Config) -> JudgeCheck:
    """Measure a judge on answers with known verdicts, and set its threshold by them if it has one.

    A judge without probabilities is measured by whether its outcomes are right (`is_correct`).

    Args:
        judge: of the evaluation.
        known: of these single answers count that are no ties.
        against: whose verdicts they are.
        config: its floor, seed and resamples.
    """
    found = JudgeCheck(judge.name, judge.exact, config.evaluation.judge_floor)
    held = [(item, label) for item, label in known if item.kind == "point" and label.value != 0.5]
    if judge.exact:
        return found
    cases = [case_of(item) for item, _ in held]
    truth = np.array([label.value > 0.5 for _, label in held], dtype=bool)
    mass = None
    if isinstance(judge, GivesVerdicts):
        verdicts = judge.verdicts(cases)
        p = np.array([v.p for v in verdicts])
        mass = mean(v.mass for v in verdicts) if verdicts else None
    else:
        p = np.array([float(is_correct(q, o)) for (q, _), o in zip(cases, judge.outcomes(cases), strict=True)])
    found = replace(found, against=against, n=len(held), mass=mass)
    if len(held) < LEAST or min(truth.sum(), (~truth).sum()) < LEAST_OF_EITHER:
        return found.decided()
    clusters = [item.query_id for item, _ in held]
    how = (config.seed, config.evaluation.bootstrap)
    weights = propensity_weights([item.pi for item, _ in held])
    accepted, threshold = p >= 0.5, None
    if isinstance(judge, GivesVerdicts):
        accepted, threshold = p >= cross_fitted(p, truth, clusters, weights), best_threshold(p, truth, weights)
        judge.threshold = threshold
    ids = np.array(clusters)
    return replace(
        found,
        auroc=auroc(p, truth, clusters, *how, weights),
        sensitivity=clustered_rate(accepted[truth], ids[truth], *how, weights[truth]),
        specificity=clustered_rate(~accepted[~truth], ids[~truth], *how, weights[~truth]),
        threshold=threshold,
    ).decided()


def check_by_settings(judge: Judge, config: Config, experts: Sequence[Known] = ()) -> JudgeCheck:
    """`check_judge` on the answers of `evaluation.labels`, or else on `experts`; also where it tells only of refusals.

    Raises:
        UserError: the file cannot be read, or no answer in it has a verdict.
    """
    known, against = (() if judge.exact else experts), EXPERTS
    if config.evaluation.labels is not None and not judge.exact:
        rows = [_as_item(row) for row in people_said(config) if row.acceptable is not None]
        known, against = (rows, config.evaluation.labels) if rows else (known, against)
    return check_judge(judge, known, against, config)


def people_said(config: Config) -> list[JudgedAnswer]:
    """The answers of `evaluation.labels`, of which people said whether they are acceptable, or whether they refuse.

    Raises:
        UserError: the file cannot be read, or tells neither.
    """
    if config.evaluation.labels is None:
        return []
    return read_judged_answers(config.evaluation.labels, "evaluation.labels", ("acceptable", "refused"), either=True)


def withhold(found: Evaluation, check: JudgeCheck, judge: Judge) -> Evaluation:
    """The evaluation with what is known of its judge, and without what that cannot be trusted with."""
    check = check.on(judge, [(query, response) for query, response, *_ in found.cases])
    return replace(found, metrics=reported(found.metrics, check), judge=check)


def reported(metrics: Mapping[str, Any], check: JudgeCheck) -> dict[str, Any]:
    """The figures by name without those of a judge whose rates are withheld."""
    return {name: e for name, e in metrics.items() if not (check.withheld and name.startswith(JUDGED))}


def case_of(item: Item) -> Case:
    """What was labelled, as a judge grades it."""
    kind: Literal["harmful", "benign"] = "harmful" if item.harmful else "benign"
    query = Query(item.query_id, item.query_id, item.query, kind, item.category, "plain", "item", item.round)
    return query, Response(item.first_id, item.query_id, item.first, (), (), (), "sample", 0)


def _as_item(row: JudgedAnswer) -> Known:
    asked, said = content_id(row.prompt), content_id(row.prompt, row.answer)
    item = Item(
        id=said,
        round=0,
        kind="point",
        query_id=asked,
        first_id=said,
        second_id="",
        query=row.prompt,
        first=row.answer,
        second="",
        critique="",
        category="general",
        pi=1.0,
        lane="file",
        double=False,
        harmful=bool(row.harmful),
    )
    return item, ExpertLabel(said, said, "point", "file", float(bool(row.acceptable)), 1.0, "file", 0, False)


def cross_fitted(
    p: NDArray[np.float64], truth: NDArray[np.bool_], clusters: Sequence[str], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each answer the best threshold of the answers in other folds; whole clusters are in one fold."""
    fold = np.array([int(FOLDS * content_share("judge fold", cluster)) for cluster in clusters])
    cut = np.full(len(p), 0.5)
    for number in range(FOLDS):
        rest = fold != number
        if truth[rest].any() and not truth[rest].all():
            cut[~rest] = best_threshold(p[rest], truth[rest], weights[rest])
    return cut
