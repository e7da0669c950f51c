"""What a critic is examined on, and the figures of it."""

from __future__ import annotations

import pytest

from superalign.evaluation.critics import comparison, critic_figures
from superalign.stats.labelled_set import LabelledSet, Probe

HELD = LabelledSet("labels", [("q", f"a{i}", "c") for i in range(4)], [1.0, 1.0, 0.0, 0.0], list("abcd"), [2, 1, 1, 1])
WRONG_FIRST, RIGHT = [0.1, 0.9, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]


def test_every_figure_counts_cases_by_their_weights() -> None:
    found = {name: estimate.value for name, estimate in critic_figures(WRONG_FIRST, HELD, 0, 50).items()}
    assert found == pytest.approx(
        {
            "critic_accuracy": 3 / 5,
            "critic_ece": (2 * 0.9 + 3 * 0.1) / 5,
            "critic_brier": (2 * 0.81 + 3 * 0.01) / 5,
            "critic_sensitivity": 1 / 3,
            "critic_specificity": 1.0,
            "critic_auroc": (2 * 2 / 2 + 1 * 2) / (3 * 2),  # a good answer of weight 2 ties with both bad ones
        }
    )


def test_a_comparison_says_against_what_and_weighs_the_paired_change() -> None:
    table = comparison(WRONG_FIRST, RIGHT, HELD, 0, 50)
    assert table["title"] == "Against labels"
    (before, after, change), *_ = (row["cells"] for row in table["rows"] if row["name"] == "accuracy")
    assert (before["value"], after["value"], change["value"]) == pytest.approx((3 / 5, 1.0, 2 / 5))


def test_probes_are_the_judges_verdicts_each_counting_once() -> None:
    exam = LabelledSet.on_probes([Probe("q", "a", "c", 1.0, "seed")])
    assert (exam.cases, exam.truth, exam.clusters, exam.weights) == ([("q", "a", "c")], [1.0], ["seed"], None)
    assert "judge" in exam.against
