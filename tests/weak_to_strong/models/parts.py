"""Points of two classes, and the head that learns them."""

from __future__ import annotations

import numpy as np
from torch import nn

from superalign.weak_to_strong.base import Floats, Ints, WeakLabels
from superalign.weak_to_strong.models.linear_probe import zero_head


def points(n: int = 200, seed: int = 0) -> tuple[Floats, Ints]:
    """Points in ten dimensions whose first coordinate tells their class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 10))
    x[:, 0] += 3 * truth - 1.5
    return x, truth


def certain(classes: Ints) -> WeakLabels:
    return WeakLabels.of(np.eye(2)[classes], "weak")


def head(width: int = 10) -> nn.Linear:
    return zero_head(width, 2)
