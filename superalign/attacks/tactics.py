"""Which tactic an attacker is told: rare and promising cells of its archive first, by an upper confidence bound.

UCB1 (Auer, Cesa-Bianchi and Fischer 2002, doi 10.1023/A:1013689704352) over the tactics of each risk category, with
what a tactic does in all categories as the prior of what it does in one. The learner changes from round to round, so
attempts count less with each round (discounted UCB, Garivier and Moulines 2008, arXiv 0805.3415).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superalign.attacks.archive import Archive, Cell

PRIOR: Final = 1.0  # attempts that the prior of a cell counts as
KEPT: Final = 0.5  # what is kept of an attempt's weight after a round

Failed = Mapping[tuple[str, str, int], int]
"""Attempts that were never asked, by risk category, tactic and round."""


def choose_tactics(
    categories: Sequence[Sequence[str]],
    tactics: Sequence[str],
    archive: Archive,
    failed: Failed,
    round: int,
    exploration: float,
) -> list[str]:
    """A tactic for each group of attacks to come, one after the other: that of the highest mean over the group of

        value + c sqrt(ln(1 + N) / (1 + n)),

    where n are the attempts in the cell, N those in its category, with what was chosen before in this call, and the
    value is the mean strength of the attempts in the cell, those that came to nothing being 0, shrunk by one attempt
    to the tactic's mean over all categories, and that to the mean of all. An attempt of k rounds ago counts 2^-k. On a
    tie the tactic is taken that was tried least in all, then the first. Nothing is drawn.

    Args:
        categories: risk category of each attack of each group; none is empty.
        tactics: those there are.
        archive: the attacks so far, with their strengths.
        failed: attempts that were never asked.
        round: the one to come.
        exploration: c.
    """
    asked = {category for group in categories for category in group}
    known = sorted({*asked, *(cell[0] for cell in archive.cells), *(attempt[0] for attempt in failed)})
    row = {category: number for number, category in enumerate(known)}
    tried, value = _values(known, tactics, archive, failed, round)
    chosen = []
    for group in categories:
        own = [row[category] for category in group]
        bonus = np.sqrt(np.log1p(tried[own].sum(1, keepdims=True)) / (1 + tried[own]))
        score = (value[own] + exploration * bonus).mean(0)
        best = np.flatnonzero(np.isclose(score, score.max(), rtol=0, atol=1e-12))
        place = int(best[np.argmin(tried[:, best].sum(0))])
        np.add.at(tried[:, place], own, 1)
        chosen.append(tactics[place])
    return chosen


def _values(
    categories: Sequence[str], tactics: Sequence[str], archive: Archive, failed: Failed, round: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Attempts and values of all cells, both [categories, tactics]."""
    attempts: defaultdict[Cell, float] = defaultdict(float)
    strengths: defaultdict[Cell, float] = defaultdict(float)
    for query, strength in zip(archive.queries, archive.strengths, strict=True):
        weight, cell = KEPT ** max(0, round - query.round), (query.category, query.tactic)
        attempts[cell] += weight
        strengths[cell] += weight * strength
    for (category, tactic, when), count in failed.items():
        attempts[category, tactic] += KEPT ** max(0, round - when) * count
    cells = [[(category, tactic) for tactic in tactics] for category in categories]
    tried, total = (np.array([[of[cell] for cell in line] for line in cells]) for of in (attempts, strengths))
    of_all = total.sum() / max(tried.sum(), 1.0)
    of_tactic = (total.sum(0) + PRIOR * of_all) / (tried.sum(0) + PRIOR)
    return tried, (total + PRIOR * of_tactic) / (tried + PRIOR)
