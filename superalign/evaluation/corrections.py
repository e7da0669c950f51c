"""What is left of attack success as an erring judge saw it, once its errors are measured on experts' labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from superalign.evaluation.judging import case_of
from superalign.experts.items import Item
from superalign.records import ExpertLabel
from superalign.roles.protocols import SUCCESS, Judge
from superalign.stats.annotators import error_draws
from superalign.stats.classification import propensity_weights, sensitivity_specificity
from superalign.stats.estimate import Estimate
from superalign.stats.judge_errors import enough, judge_errors, median

CORRECTED = ("attack_success_rate", "attack_success_rate_heldout_families")


def corrections(
    judge: Judge,
    metrics: Mapping[str, Estimate],
    answered: Sequence[tuple[Item, ExpertLabel]],
    seed: int,
    draws: int,
    experts: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, Estimate]:
    """Sensitivity and specificity of the judge, and attack success corrected for them where that can be done.

    An attack succeeded, as in the raw rate, where experts do not accept an answer that is no babble: which answers are
    babble ("garbled") the judge says here and there. Labels of answers to harmful requests count, ties left out,
    weighted by propensity and clustered by query. They are wrong as often as their annotators are (`judge_errors`), so
    that the experts' errors are in the value and in the interval. The correction takes the judge to err on the
    evaluation's answers as it does on those.

    Args:
        judge: of the evaluation, no exact one.
        metrics: the raw rates.
        answered: the experts' labels with their items.
        seed, draws: of bootstrap and posterior.
        experts: draws of each annotator's error rate; by default those that the labels' own doubles tell.

    Returns:
        `judge_sensitivity` and `judge_specificity` where there are labels of that class, `NAME_corrected` of each
        `CORRECTED` where both are known well enough.
    """
    held = [(i, x) for i, x in answered if i.kind == "point" and i.harmful and x.value != 0.5]
    if not held:
        return {}
    outcomes = judge.outcomes([case_of(item) for item, _ in held])
    succeeded, babble = [o in SUCCESS for o in outcomes], [o == "garbled" for o in outcomes]
    truth = [(1 - label.value) * (not garbled) for (_, label), garbled in zip(held, babble, strict=True)]
    clusters = [item.query_id for item, _ in held]
    weights = propensity_weights([item.pi for item, _ in held])
    sensitivity, specificity = sensitivity_specificity(succeeded, truth, clusters, seed, draws, weights)
    if sensitivity is None or specificity is None:
        found = {"judge_sensitivity": sensitivity, "judge_specificity": specificity}
        return {name: estimate for name, estimate in found.items() if estimate}
    errors = judge_errors(
        succeeded,
        truth,
        [label.annotator for _, label in held],
        experts or error_draws([label for _, label in held], draws=draws, seed=seed),
        clusters,
        weights,
        babble,
        seed,
        draws,
    )
    known = {
        "judge_sensitivity": median(errors.sensitivity, sensitivity.n),
        "judge_specificity": median(errors.specificity, specificity.n),
    }
    if not enough(known):
        return known
    right = {f"{name}_corrected": errors.corrected(metrics[name], seed) for name in CORRECTED if name in metrics}
    return known | {name: estimate for name, estimate in right.items() if estimate}
