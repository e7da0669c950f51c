"""Supervisors of one accuracy whose errors lie in different places (arXiv 2312.09390, appendices E.2 and E.3)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from superalign.weak_to_strong.base import Floats, Ints

STRUCTURES: Final = {
    "weak": "the weak model's own errors",
    "random": "errors on rows drawn at random",
    "confident": "errors where a strong model is confidently right",
    "unconfident": "errors where a strong model is least confident",
    "longest": "errors on the longest inputs",
    "imitable": "the weak model's errors, its label appended to the student's input",
}


def corrupt(
    structure: str,
    probabilities: Floats,
    truth: ArrayLike,
    lengths: ArrayLike,
    ceiling_confidence: ArrayLike,
    ceiling_prediction: ArrayLike,
    seed: int,
) -> tuple[Floats, bool]:
    """Move the supervisor's errors to other rows; their number stays the same, and so does how sure they are.

    Every row takes over the probabilities of a row of the real labels that was as right or wrong as it shall be itself,
    so accuracy and calibration are those of the real labels and only the place of the errors differs. An error names
    the wrong class that the real labels think likeliest for that row.

    Args:
        structure: a name of `STRUCTURES`; `weak` and `imitable` leave the labels as they are.
        probabilities: P(class) by the real weak labels, shape (n, classes).
        truth: the true classes, which the caller opens and answers for, shape (n,).
        lengths: of the text, or the norm of the input, shape (n,).
        ceiling_confidence, ceiling_prediction: of a strong model: P(likeliest class) and that class, shape (n,).
        seed: of the rows drawn and of ties.

    Returns:
        The labels' probabilities, shape (n, classes), and whether the student must see the label as a feature.

    Raises:
        ValueError: there is no such structure, or lengths differ.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if structure in ("weak", "imitable"):
        return p.copy(), structure == "imitable"
    size, confidence = np.asarray(lengths, dtype=np.float64), np.asarray(ceiling_confidence, dtype=np.float64)
    correct = np.asarray(ceiling_prediction) == y
    if not len(p) == len(y) == len(size) == len(confidence) == len(correct):
        raise ValueError("probabilities, truth, lengths and the strong model's answers differ in length")
    orders = {
        "random": np.zeros(len(y)),
        "confident": np.where(correct, confidence, -confidence),
        "unconfident": -confidence,
        "longest": size,
    }
    if structure not in orders:
        raise ValueError(f"unknown error structure {structure!r} (there is: {', '.join(STRUCTURES)})")
    rng = np.random.default_rng(seed)
    wrong = p.argmax(1) != y
    first = np.lexsort((rng.random(len(y)), -orders[structure]))[: wrong.sum()]
    chosen = np.zeros(len(y), dtype=bool)
    chosen[first] = True
    donors = np.empty(len(y), dtype=np.int64)
    for kind in (True, False):
        donors[chosen == kind] = rng.permutation(np.flatnonzero(wrong == kind))
    return _transplanted(p, y, donors, chosen), False


def _transplanted(p: Floats, y: Ints, donors: Ints, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Each row with its donor's probabilities, the likeliest and the true class put where they belong.

    The other classes keep the order of likelihood that the row had for them.
    """
    rows = np.arange(len(y))
    other = p.copy()
    other[rows, y] = -1.0
    likeliest = np.where(chosen, other.argmax(1), y)
    made = np.empty_like(p)
    for i, donor in enumerate(donors):
        ends = list(dict.fromkeys((int(likeliest[i]), int(y[i]))))
        given = list(dict.fromkeys((int(p[donor].argmax()), int(y[donor]))))
        rest = [c for c in np.argsort(-p[i], kind="stable") if c not in ends]
        left = [c for c in np.argsort(-p[donor], kind="stable") if c not in given]
        made[i, ends + rest] = p[donor, given + left]
    tied = made.argmax(1) != likeliest  # equal probabilities, of which the first class would win
    made[tied] *= 1 - 1e-6
    made[tied, likeliest[tied]] += 1e-6
    return made
