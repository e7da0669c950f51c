"""What the attacker remembers: all its attacks, the elites of every cell, and past selves to play again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from superalign.records import Query
from superalign.stats.text_similarity import embed, vectors_duplicates, vectors_novelty

Cell = tuple[str, str]
"""Risk category and tactic."""
FORGOTTEN = 0.01


class Archive:
    """All attack queries so far with the weakness each showed and its strength, and their cells (category x tactic).

    Novelty looks at everything; the elites of a cell (MAP-Elites, arXiv 1504.04909) are those on which the learner
    fails most, as last seen.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.queries: list[Query] = []
        self.weaknesses: list[str] = []
        self.strengths: list[float] = []
        self.cells: Counter[Cell] = Counter()
        self._ids: set[str] = set()
        self._matrix: dict[str, Any] = {"text": embed([]), "weakness": embed([])}

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.queries)

    def add(self, queries: Sequence[Query], weaknesses: Sequence[str], strengths: Sequence[float]) -> None:
        """Add queries that are not in yet (by id), so that a repeated round changes nothing."""
        for query, weakness, strength in zip(queries, weaknesses, strengths, strict=True):
            if query.id not in self._ids:
                self._ids.add(query.id)
                self.queries.append(query)
                self.weaknesses.append(weakness)
                self.strengths.append(float(strength))
                self.cells[query.category, query.tactic] += 1

    def novelty(self, texts: Sequence[str], categories: Sequence[str]) -> NDArray[np.float64]:
        """N_t: novelty of each text against the archive of its own category, shape (n,)."""
        return self._by_category(texts, categories, "text")

    def behaviour_novelty(self, weaknesses: Sequence[str], categories: Sequence[str]) -> NDArray[np.float64]:
        """N_b: the same on the critic's summaries of the weakness; 0 where there is none."""
        found = self._by_category(weaknesses, categories, "weakness")
        return np.where([bool(w.strip()) for w in weaknesses], found, 0.0)

    def rarity(self, categories: Sequence[str], tactics: Sequence[str]) -> NDArray[np.float64]:
        """C = (1 + n_cell)^(-1/2), shape (n,)."""
        counts = np.array([self.cells[cell] for cell in zip(categories, tactics, strict=True)], dtype=np.float64)
        return np.asarray((1 + counts) ** -0.5, dtype=np.float64)

    def duplicates(self, texts: Sequence[str], threshold: float) -> NDArray[np.bool_]:
        """`near_duplicates` against the archive and within the batch."""
        return vectors_duplicates(embed(texts), self._vectors("text"), threshold)

    def sample(self, count: int, seed: int) -> list[Query]:
        """Past opponents, without repetition, drawn with chance growing with their strength; all if fewer."""
        chances = np.array(self.strengths) + 0.1
        size = min(count, len(self))
        if size <= 0:
            return []
        chosen = np.random.default_rng(seed).choice(len(self), size, replace=False, p=chances / chances.sum())
        return [self.queries[i] for i in chosen.tolist()]

    def elites(self, per_cell: int) -> dict[Cell, list[int]]:
        """The places of each cell's strongest queries, at most `per_cell`, the strongest first, the older on a tie."""
        cells: dict[Cell, list[int]] = {}
        for place, query in enumerate(self.queries):
            cells.setdefault((query.category, query.tactic), []).append(place)
        return {
            cell: sorted(places, key=lambda i: (-self.strengths[i], i))[:per_cell] for cell, places in cells.items()
        }

    def league(self, count: int, per_cell: int, seed: int) -> list[Query]:
        """Past selves by prioritised fictitious self-play (AlphaStar, doi 10.1038/s41586-019-1724-z), none twice.

        Drawn among the elites with chance f(x) = (1 - x)^2, where x is how often the learner withstood the attack, and
        a little for those that it always does: what is forgotten is noticed.
        """
        places = sorted(place for chosen in self.elites(per_cell).values() for place in chosen)
        chances = np.array([self.strengths[place] for place in places]) ** 2 + FORGOTTEN
        size = min(count, len(places))
        if size <= 0:
            return []
        chosen = np.random.default_rng(seed).choice(places, size, replace=False, p=chances / chances.sum())
        return [self.queries[i] for i in sorted(chosen.tolist())]

    def seen_again(self, strengths: Mapping[str, float]) -> None:
        """Move each known query's strength (by id) half the way to what it was this time."""
        for place, query in enumerate(self.queries):
            if query.id in strengths:
                self.strengths[place] = (self.strengths[place] + strengths[query.id]) / 2

    def to_rows(self) -> list[dict[str, Any]]:
        """One JSON row per query."""
        columns = zip(self.queries, self.weaknesses, self.strengths, strict=True)
        return [{**q.to_row(), "weakness": w, "strength": s} for q, w, s in columns]

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Self:
        """Restore what `to_rows` wrote."""
        archive = cls()
        queries = [Query.from_row({k: v for k, v in r.items() if k not in ("weakness", "strength")}) for r in rows]
        archive.add(queries, [r["weakness"] for r in rows], [r["strength"] for r in rows])
        return archive

    def _vectors(self, which: str) -> Any:
        texts = [q.text for q in self.queries] if which == "text" else self.weaknesses
        done = self._matrix[which]
        if done.shape[0] < len(texts):
            self._matrix[which] = sparse.vstack([done, embed(texts[done.shape[0] :])], format="csr")
        return self._matrix[which]

    def _by_category(self, texts: Sequence[str], categories: Sequence[str], which: str) -> NDArray[np.float64]:
        vectors, archive = embed(texts), self._vectors(which)
        own = np.array([q.category for q in self.queries], dtype=object)
        asked = np.array(categories, dtype=object)
        result = np.ones(len(texts))
        for category in set(categories):
            rows = np.flatnonzero(asked == category)
            result[rows] = vectors_novelty(vectors[rows], archive[np.flatnonzero(own == category)])
        return result
