"""Perplexity and its paired ratio, with intervals that hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from superalign.stats.perplexity import perplexity, perplexity_ratio


def test_it_is_e_to_the_mean_over_tokens_not_over_texts() -> None:
    """(1 x 3 + 2 x 1)/4 = 1.25 nats a token."""
    assert perplexity([1.0, 2.0], [3, 1], ["a", "b"]).value == pytest.approx(math.exp(1.25))


def test_what_both_have_in_common_cancels_out_of_the_ratio() -> None:
    rng = np.random.default_rng(0)
    before, tokens = rng.normal(3, 1, 50), rng.integers(5, 90, 50)
    ratio = perplexity_ratio(before + math.log(1.02), before, tokens, np.arange(50))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.02, 1.02, 1.02))
    alone = perplexity(before, tokens, np.arange(50))
    assert alone.high / alone.low > 1.3


def test_its_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """300 samples of 32 texts, whose means are normal: 95 % within three standard errors, .91 at least."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        tokens = rng.integers(10, 100, 32)
        found = perplexity(rng.normal(2, 0.8, 32), tokens, np.arange(32), resamples=300)
        held += found.low <= math.exp(2) <= found.high
    assert held / 300 >= 0.91


def test_one_text_tells_nothing_of_the_spread() -> None:
    with pytest.raises(ValueError, match="at least two clusters"):
        perplexity([1.0, 1.1], [3, 3], ["a", "a"])
