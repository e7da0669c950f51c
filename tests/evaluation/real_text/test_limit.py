"""The curve of refusing by P(harmful)."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.evaluation.real_text.limit import limit_curve
from superalign.records import Kind
from superalign.stats.roc import auroc

KINDS: list[Kind] = ["harmful", "benign", "harmful", "benign"]


def test_it_goes_from_nothing_refused_to_everything_by_falling_thresholds() -> None:
    assert limit_curve([0.9, 0.5, 0.5, 0.1], KINDS) == [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]


def test_what_was_refused_all_along_is_no_fall() -> None:
    assert limit_curve([0.9, 0.5, 0.4, 0.1], KINDS, [False, True, True, True])[-1] == (1.0, 0.5)


def test_the_area_below_it_is_that_of_the_receiver_operating_characteristic() -> None:
    rng = np.random.default_rng(0)
    kinds: list[Kind] = ["harmful" if i % 3 else "benign" for i in range(300)]
    p = rng.normal([kind == "harmful" for kind in kinds]).round(1)
    x, y = np.array(limit_curve(p, kinds)).T
    known = auroc(p, [kind == "harmful" for kind in kinds], np.arange(300))
    assert known is not None and np.trapezoid(y, x) == pytest.approx(known.value)


def test_one_kind_alone_has_no_curve() -> None:
    assert limit_curve([0.2, 0.3], ["benign", "benign"]) == []
