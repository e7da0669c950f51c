"""How good a critic is, before and after training, on answers whose right verdict is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superalign.stats.classification import brier, ece_estimate, sensitivity_specificity
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import clustered_rate, paired_difference
from superalign.stats.labelled_set import LabelledSet
from superalign.stats.roc import auroc

LABELS = {
    "critic_accuracy": "accuracy",
    "critic_ece": "calibration error",
    "critic_brier": "Brier score",
    "critic_sensitivity": "sensitivity",
    "critic_specificity": "specificity",
    "critic_auroc": "AUROC",
}


def critic_figures(p: Sequence[float], exam: LabelledSet, seed: int, draws: int) -> dict[str, Estimate]:
    """Accuracy, calibration error, Brier score, sensitivity, specificity and AUROC with their intervals."""
    right = [(x >= 0.5) == (t >= 0.5) for x, t in zip(p, exam.truth, strict=True)]
    how = (exam.clusters, seed, draws, exam.weights)
    sensitivity, specificity = sensitivity_specificity(p, exam.truth, *how)
    found = {
        "critic_accuracy": clustered_rate(right, *how),
        "critic_ece": ece_estimate(p, exam.truth, *how),
        "critic_brier": brier(p, exam.truth, *how),
        "critic_sensitivity": sensitivity,
        "critic_specificity": specificity,
        "critic_auroc": auroc(p, exam.truth, *how),
    }
    return {name: estimate for name, estimate in found.items() if estimate}


def comparison(
    before: Sequence[float], after: Sequence[float], exam: LabelledSet, seed: int, draws: int
) -> dict[str, Any]:
    """The report's table of one examination: every figure before and after, and the paired change of two."""
    was, now = (critic_figures(p, exam, seed, draws) for p in (before, after))
    losses = {
        "critic_accuracy": [
            [float((x >= 0.5) == (t >= 0.5)) for x, t in zip(p, exam.truth, strict=True)] for p in (after, before)
        ],
        "critic_brier": [[(x - t) ** 2 for x, t in zip(p, exam.truth, strict=True)] for p in (after, before)],
    }
    rows = []
    for name, estimate in now.items():
        paired = None
        if name in losses:
            after_losses, before_losses = losses[name]
            found = paired_difference(after_losses, before_losses, exam.clusters, seed, draws, exam.weights)
            paired = found.to_dict()
        rows.append({"name": LABELS[name], "cells": [was[name].to_dict(), estimate.to_dict(), paired]})
    columns = ["figure", "before", "after", "paired change"]
    return {"title": f"Against {exam.against}", "columns": columns, "rows": rows, "plain": True}
