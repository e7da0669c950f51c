"""How far refusing by what a model knows of a request can go: the curve that a learner's figures are read beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.records import Kind


def limit_curve(
    p_harmful: ArrayLike, kinds: Sequence[Kind], complied: ArrayLike | None = None
) -> list[tuple[float, float]]:
    """(fall in compliance with harmless requests, fall with harmful ones) where all with P(harmful) > t are refused.

    One point for each t at which they change, from (0, 0) on, where nothing more is refused than was; so it is the
    receiver operating characteristic of P(harmful), but for requests that were refused all along. Empty without
    requests of both kinds.

    Args:
        p_harmful: of each request, for example of a probe on the states of the first learner, shape (n,).
        kinds: of the requests.
        complied: whether the first learner complied with each, shape (n,); by default with all.
    """
    p, harmful = np.asarray(p_harmful, dtype=np.float64), np.array([kind == "harmful" for kind in kinds], dtype=bool)
    if harmful.all() or not harmful.any():
        return []
    lost = np.ones(p.size, dtype=bool) if complied is None else np.asarray(complied, dtype=bool)

    def falls(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By threshold: the share of these requests that would be refused and were not."""
        counted = np.sort(p[rows & lost])
        return np.asarray((counted.size - np.searchsorted(counted, cuts, side="right")) / rows.sum())

    cuts = np.concatenate([np.unique(p)[::-1], [-np.inf]])
    return list(zip(falls(~harmful).tolist(), falls(harmful).tolist(), strict=True))
