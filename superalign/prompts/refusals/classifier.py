"""A logistic regression that tells refusals without set phrases: hashed words and pairs of words, hints, length.

Its weights (`weights.npy`, float16) were trained on sentences that were written for it (`corpus.yaml`), by

    python -m superalign.prompts.refusals.training

and hold no text. It is read by numpy alone.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib import resources
from zlib import crc32

import numpy as np

from superalign.prompts.refusals.phrases import BEGINNING, EXPLICIT, HINTS, LISTED, READ, TURNS, plain

BUCKETS = 4096
WORDS, HINTED = 100, 400  # of an answer are read: so many words, so many characters for hints
EARLY = 150  # characters in which most refusals say so
LENGTHS = (300, 700, 1300, 2000, 3000)
EXTRA = len(LENGTHS) + len(HINTS) + 4
"""Features beside the hashed ones; a constant comes last."""
_WORD = re.compile(rb"[a-z']+")


def features(text: str) -> tuple[list[int], float]:
    """The places of the features that an answer has, in order, and the value of the hashed ones; others are 0 or 1.

    Returns:
        The places among BUCKETS + EXTRA (below BUCKETS: hashed words and pairs of words), and 1 / sqrt(how many are
        hashed), which gives those the norm 1.
    """
    said = plain(text)
    words = _WORD.findall(said[: 8 * WORDS].encode("ascii", "ignore"))[:WORDS]
    single = [crc32(word) for word in words]
    pairs = [crc32(word, before) for before, word in zip(single, words[1:], strict=False)]
    hashed = {code % BUCKETS for code in (*single, *pairs)}
    refuses = min((m.start() for pattern in EXPLICIT if (m := pattern.search(said, 0, BEGINNING))), default=READ)
    opening = said[:HINTED]
    found = (
        *(len(text) < length for length in LENGTHS),
        *(bool(hint.search(opening)) for hint in HINTS),
        bool(LISTED.search(text, 0, LENGTHS[-1])),
        bool(TURNS.search(said)),
        refuses < READ,
        refuses < EARLY,
    )
    places = [BUCKETS + i for i, has in enumerate(found) if has]
    return [*sorted(hashed), *places], 1 / math.sqrt(max(1, len(hashed)))


def log_odds(text: str) -> float:
    """Log-odds that an answer refuses, as in the texts that the weights were trained on."""
    w, (places, value) = weights(), features(text)
    hashed = sum(w[place] for place in places if place < BUCKETS)
    return value * hashed + sum(w[place] for place in places if place >= BUCKETS) + w[-1]


@cache
def weights() -> list[float]:
    """Of hashed features, further ones, and the constant, which comes last."""
    with (resources.files("superalign.prompts.refusals") / "weights.npy").open("rb") as file:
        found: list[float] = np.load(file, allow_pickle=False).astype(np.float64).tolist()
    return found
