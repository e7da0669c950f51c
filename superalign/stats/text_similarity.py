"""How alike texts are: hashed character n-grams, self-BLEU, near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

NEIGHBOURS = 16
SIMILARITY = 0.75
"""Two texts as similar as this count as one (the bound of WildTeaming, arXiv 2406.18510, on our embedding)."""

ROUNDING = 1e-9  # of the cosines: an exact copy must pass a threshold of 1


@cache
def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer  # seconds of start-up to who embeds nothing

    return HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**16, norm="l2")


def embed(texts: Sequence[str]) -> Any:
    """Unit vectors of hashed character 3- to 5-grams as a sparse matrix, shape (n, 65536); no model, no state."""
    return _vectorizer().transform(texts) if texts else sparse.csr_matrix((0, 2**16))


def near_duplicates(texts: Sequence[str], archive_texts: Sequence[str], threshold: float) -> NDArray[np.bool_]:
    """Whether a text's cosine to any archive text or to an earlier text of the batch reaches the threshold."""
    return vectors_duplicates(embed(texts), embed(archive_texts), threshold)


def self_bleu(texts: Sequence[str]) -> NDArray[np.float64]:
    """BLEU of each text against all others of the batch (Texygen, arXiv 1802.01886), in [0, 1], shape (n,).

    Geometric mean of the clipped 2- to 5-gram precisions over lower-case words, no brevity penalty; a precision of 0
    counts as 0.1 n-grams (smoothing 1 of Chen and Cherry 2014). Orders longer than the text are left out.
    """
    words = [t.lower().split() for t in texts]
    logs, orders = np.zeros(len(texts)), np.zeros(len(texts))
    for order in range(2, 6):
        counts = [Counter(zip(*(w[i:] for i in range(order)), strict=False)) for w in words]
        best: dict[tuple[str, ...], tuple[int, int, int]] = {}
        for i, grams in enumerate(counts):
            for gram, count in grams.items():
                top, owner, second = best.get(gram, (0, -1, 0))
                best[gram] = (count, i, top) if count > top else (top, owner, max(second, count))
        for i, grams in enumerate(counts):
            if total := grams.total():
                clipped = sum(
                    min(count, best[gram][2] if best[gram][1] == i else best[gram][0]) for gram, count in grams.items()
                )
                logs[i] += np.log(max(clipped, 0.1) / total)
                orders[i] += 1
    return np.where(orders > 0, np.exp(logs / np.maximum(orders, 1)), 0.0)


def unique(texts: Sequence[str], worked: Sequence[bool], similarity: float) -> NDArray[np.bool_]:
    """Which texts worked and are no near-duplicate (cosine >= similarity) of an earlier one that counts, shape (n,)."""
    counted = np.zeros(len(texts), dtype=bool)
    cosine = vectors_cosine(embed(texts), embed(texts))
    for i in np.flatnonzero(np.asarray(worked, dtype=bool)):
        counted[i] = not (cosine[i, counted] >= similarity - ROUNDING).any()
    return counted


def vectors_cosine(first: Any, second: Any) -> NDArray[np.float64]:
    """Cosines between rows of `embed`, shape (n, m)."""
    return np.asarray((first @ second.T).todense())


def vectors_novelty(vectors: Any, archive: Any, k: int = NEIGHBOURS) -> NDArray[np.float64]:
    """clip(1 - mean cosine to the k nearest of the archive, 0, 1) (DiveR-CT, arXiv 2405.19026), shape (n,).

    Of rows of `embed`; 1 for an empty archive. The mean over the whole archive would stagnate as it grows; the nearest
    do not.
    """
    size = archive.shape[0]
    if size == 0:
        return np.ones(vectors.shape[0])
    k = min(k, size)
    nearest = np.partition(vectors_cosine(vectors, archive), size - k, axis=1)[:, size - k :]
    return np.asarray(np.clip(1 - nearest.mean(axis=1), 0.0, 1.0))


def vectors_duplicates(vectors: Any, archive: Any, threshold: float) -> NDArray[np.bool_]:
    """`near_duplicates` of rows of `embed`."""
    limit = threshold - ROUNDING
    found = np.zeros(vectors.shape[0], dtype=bool)
    if archive.shape[0]:
        found |= vectors_cosine(vectors, archive).max(axis=1) >= limit
    return found | (np.tril(vectors_cosine(vectors, vectors), -1) >= limit).any(axis=1)
