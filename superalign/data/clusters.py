"""Near-duplicates stay together: requests that count as the same attack are never on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superalign.records import content_id
from superalign.stats.text_similarity import ROUNDING, SIMILARITY, embed

LARGEST: Final = 0.15  # share of all texts that a cluster may be to be held out: a larger one would decide the split
CUT: Final = 0.5  # share of all texts that may be in such clusters: what is above is cut
SMALL: Final = 5  # texts that a cluster may hold however few there are
STEP: Final = 0.05  # by which the bound is raised inside a cluster that is too large
STEPPED: Final = 2000  # texts of a cluster that is cut in steps: every pair of them is measured
SKETCH: Final = 256  # numbers of a random projection by which pairs are looked for
MARGIN: Final = 0.15  # of a sketch's cosine; its standard deviation at the bound is 0.03
ROWS: Final = 256  # of the table of cosines at a time
MOST: Final = 60_000  # texts of which every pair is compared, which takes a minute
VERIFIED: Final = 20_000  # pairs at a time
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which texts are near-duplicates.

    Attributes:
        of: by text, the text that stands for its cluster: the one with the smallest hash, whatever the order is.
        count: of clusters.
        cut: how many texts were in clusters that had to be cut, so that near-duplicates of them can be in another.
        kept: the texts that stand for clusters which are too large to be held out.
    """

    of: Mapping[str, str]
    count: int
    cut: int = 0
    kept: frozenset[str] = frozenset()

    @property
    def trained_on(self) -> int:
        """How many texts are in clusters that are too large to be held out."""
        return sum(stands in self.kept for stands in self.of.values())

    def held_out(self, share: float, place: Callable[[str], float]) -> dict[str, bool]:
        """Whether each text is held out, which all of a cluster are or none.

        Args:
            share: of all texts that shall be.
            place: where in [0, 1) the hash of a text lies.
        """
        share /= max(1e-9, 1 - self.trained_on / max(1, len(self.of)))
        return {text: stands not in self.kept and place(stands) < share for text, stands in self.of.items()}


def find_clusters(texts: Iterable[str]) -> Clusters:
    """Connected components of the texts whose cosine by `embed` reaches `SIMILARITY`.

    A component with more than `LARGEST` of all texts, as a chain or a template makes one, is never held out. Where such
    would be more than `CUT` of all, it is cut: inside it the bound is raised in steps until no piece is larger than
    `LARGEST`, at last (at once above `STEPPED` texts) to equality but for case and spaces. So is the whole above `MOST`
    texts.
    """
    return _find(tuple(sorted(set(texts))))


class KnownTexts:
    """Texts of which near-duplicates are looked for among others."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._vectors = embed(sorted(set(texts)))

    def near(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether the cosine of each text to any known one reaches `SIMILARITY`, shape (len(texts),)."""
        if not self._vectors.shape[0] or not texts:
            return np.zeros(len(texts), dtype=bool)
        cosines = embed(texts) @ self._vectors.T
        return np.asarray(cosines.max(axis=1).toarray().ravel() >= SIMILARITY - ROUNDING)


@lru_cache(maxsize=4)
def _find(texts: tuple[str, ...]) -> Clusters:
    """Of different texts in order; remembered, since a run reads its seeds more than once."""
    if not texts:
        return Clusters({}, 0)
    if len(texts) > MOST:
        return _standing(texts, _equal(texts, np.arange(len(texts))), [], len(texts))
    near = _Neighbours(embed(texts))
    most, cut = max(SMALL, LARGEST * len(texts)), 0
    pieces, done, kept = [(np.arange(len(texts)), SIMILARITY)], list[Numbers](), list[Numbers]()
    while pieces:
        members, bound = pieces.pop()
        labels = near.components(members, bound)
        for part in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
            piece = members[part]
            if len(part) <= most:
                done.append(piece)
                continue
            if bound == SIMILARITY and sum(map(len, kept)) + len(part) <= CUT * len(texts):
                kept.append(piece)
                continue
            cut += len(part) if bound == SIMILARITY else 0
            if len(part) > STEPPED or bound + STEP >= 1:
                done += _equal(texts, piece)
            else:
                pieces.append((piece, bound + STEP))
    return _standing(texts, done, kept, cut)


def _standing(texts: Sequence[str], members: Sequence[Numbers], kept: Sequence[Numbers], cut: int) -> Clusters:
    """Clusters with the text that stands for each."""
    of: dict[str, str] = {}
    for each in (*members, *kept):
        found = [texts[number] for number in each.tolist()]
        of |= dict.fromkeys(found, min(found, key=content_id))
    standing = frozenset(of[texts[int(each[0])]] for each in kept)
    return Clusters(of, len(members) + len(kept), cut, standing)


def _equal(texts: Sequence[str], members: Numbers) -> list[Numbers]:
    """The members in groups that differ in nothing but case and spaces."""
    groups: dict[str, list[int]] = {}
    for number in members.tolist():
        groups.setdefault(" ".join(texts[number].casefold().split()), []).append(number)
    return [np.array(group) for group in groups.values()]


class _Neighbours:
    """Finds the pairs of texts whose cosine reaches a bound.

    Candidates come from a random projection, which keeps cosines up to its error (Johnson and Lindenstrauss); each is
    then measured exactly. A pair at the bound is missed less than once in 100,000 times.
    """

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors
        rng = np.random.default_rng(0)
        projection = rng.standard_normal((vectors.shape[1], SKETCH), dtype=np.float32)
        sketch = np.asarray(vectors.astype(np.float32) @ projection)
        self.sketch = sketch / np.maximum(np.linalg.norm(sketch, axis=1, keepdims=True), 1e-12)

    def components(self, members: Numbers, bound: float) -> Numbers:
        """The number of the connected component of each member, shape (len(members),)."""
        labels, sketch = np.arange(len(members)), self.sketch[members]
        for begin in range(0, len(members), ROWS):
            one, other = np.nonzero(sketch[begin : begin + ROWS] @ sketch[begin:].T >= bound - MARGIN)
            later = one < other
            one, other = one[later] + begin, other[later] + begin
            while len(one):
                apart = labels[one] != labels[other]  # of one component: nothing is left to find out
                one, other = one[apart], other[apart]
                first, second = one[:VERIFIED], other[:VERIFIED]
                alike = self._cosines(members[first], members[second]) >= bound - ROUNDING
                labels = _merged(labels, first[alike], second[alike])
                one, other = one[VERIFIED:], other[VERIFIED:]
        return np.unique(labels, return_inverse=True)[1]

    def _cosines(self, first: Numbers, second: Numbers) -> NDArray[np.float64]:
        return np.asarray(self.vectors[first].multiply(self.vectors[second]).sum(axis=1)).ravel()


def _merged(labels: Numbers, first: Numbers, second: Numbers) -> Numbers:
    """The components after the texts of each pair are joined."""
    from scipy import sparse
    from scipy.sparse import csgraph

    size = len(labels)
    pairs = (np.ones(len(first)), (labels[first], labels[second]))
    joined = csgraph.connected_components(sparse.coo_matrix(pairs, shape=(size, size)), directed=False)[1]
    return np.asarray(joined[labels], dtype=np.int64)
