"""Performance gap recovered, as an estimator."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp
from sklearn.metrics import roc_auc_score

from superalign.weak_to_strong.metrics.pgr import (
    Scores,
    auroc_gap_recovered,
    fieller,
    performance_gap_recovered,
    pooled,
    pooled_difference,
)

THRESHOLDS = {"weak": 1.0, "student": 1.4, "ceiling": 2.0}


def study(rng: np.random.Generator, splits: int, rows: int, between: float, shared: bool = False) -> list[Scores]:
    """Right or wrong answers to rows that come in pairs; `between` is how much training differs from split to split.

    A shared pool of rows is drawn from anew by every split, as a protocol with one data set does.
    """
    pairs = int(1.4 * rows)

    def difficulty(count: int) -> np.ndarray:
        return rng.normal(size=count).repeat(2) * 0.7 + rng.normal(size=2 * count)

    pool, made = difficulty(pairs), []
    for split in range(splits):
        if shared:
            drawn = rng.choice(pairs, rows // 2, replace=False)
            z, names = pool[np.concatenate([2 * drawn, 2 * drawn + 1])], np.concatenate([drawn, drawn]).astype(str)
        else:
            z, names = difficulty(rows // 2), np.array([f"{split}/{i // 2}" for i in range(rows)])
        answers = {
            who: (z + rng.normal(size=rows) * 0.5 < line + rng.normal() * between).astype(float)
            for who, line in THRESHOLDS.items()
        }
        made.append(Scores(**answers, clusters=names))
    return made


def true_ratio(between: float) -> float:
    spread = np.sqrt(0.49 + 1 + 0.25 + between**2)
    weak, student, ceiling = (norm.cdf(line / spread) for line in THRESHOLDS.values())
    return float((student - weak) / (ceiling - weak))


@pytest.mark.parametrize(
    ("splits", "between", "shared"),  # one split cannot know how much splits differ
    [(1, 0.0, False), (5, 0.0, False), (5, 0.06, False), (10, 0.06, False), (10, 0.0, True), (10, 0.06, True)],
)
def test_the_interval_covers_the_true_ratio_as_often_as_it_says(splits: int, between: float, shared: bool) -> None:
    rng, hits, truth = np.random.default_rng(7), 0, true_ratio(between)
    for number in range(200):
        found = performance_gap_recovered(study(rng, splits, 300, between, shared), resamples=200, seed=number)
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_intervals_of_pooled_means_cover_too() -> None:
    rng, hits = np.random.default_rng(3), 0
    truth = float(norm.cdf(1.4 / np.sqrt(0.49 + 1 + 0.25 + 0.06**2)))
    for number in range(200):
        scores = study(rng, 8, 200, 0.06, shared=True)
        found = pooled([s.student for s in scores], [s.clusters for s in scores], resamples=200, seed=number)
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_it_is_the_ratio_of_pooled_means_and_is_not_clipped() -> None:
    rng = np.random.default_rng(0)
    scores = study(rng, 3, 200, 0.05) + study(rng, 2, 400, 0.05)
    weak, student, ceiling = (
        np.concatenate([np.asarray(getattr(s, who)) for s in scores]) for who in ("weak", "student", "ceiling")
    )
    found = performance_gap_recovered(scores)
    assert found.value == pytest.approx((student - weak).sum() / (ceiling - weak).sum())
    assert (found.n, found.seeds) == (1400, 5)
    assert found.gap.value == pytest.approx((ceiling - weak).mean())
    swapped = [Scores(s.student, s.weak, s.ceiling, s.clusters) for s in scores]
    below = performance_gap_recovered(swapped)
    assert below.value is not None and below.value < 0


def test_a_student_that_equals_ceiling_or_supervisor_recovers_all_or_nothing() -> None:
    scores = study(np.random.default_rng(1), 4, 300, 0.05)
    everything = performance_gap_recovered([Scores(s.weak, s.ceiling, s.ceiling, s.clusters) for s in scores])
    nothing = performance_gap_recovered([Scores(s.weak, s.weak, s.ceiling, s.clusters) for s in scores])
    assert (everything.value, everything.low, everything.high) == pytest.approx((1, 1, 1))
    assert (nothing.value, nothing.low, nothing.high) == pytest.approx((0, 0, 0))


def test_without_a_gap_there_is_no_value_but_a_reason() -> None:
    rng = np.random.default_rng(2)
    equal = [Scores(s.weak, s.student, s.weak, s.clusters) for s in study(rng, 5, 200, 0.05)]
    found = performance_gap_recovered(equal)
    assert (found.value, found.low, found.high, found.fieller) == (None, None, None, None)
    assert found.reason is not None and found.reason.startswith("no gap: PGR undefined (ceiling - weak = 0.0000, SE")
    assert found.to_dict() == {"value": None, "low": None, "high": None, "n": 1000, "reason": found.reason}


def test_a_gap_that_is_noise_is_refused_nearly_always() -> None:
    rng, refused = np.random.default_rng(4), 0
    for _ in range(100):
        answers = (rng.random((5, 3, 200)) < 0.5).astype(float)
        scores = [Scores(*three, np.arange(200)) for three in answers]
        refused += performance_gap_recovered(scores, resamples=50).value is None
    assert refused >= 93


def test_a_ceiling_below_the_supervisor_has_words_of_its_own() -> None:
    scores = study(np.random.default_rng(5), 5, 300, 0.0)
    found = performance_gap_recovered([Scores(s.ceiling, s.student, s.weak, s.clusters) for s in scores])
    assert found.value is None and found.reason is not None
    assert found.reason.startswith("the strong model is worse than the weak one: PGR undefined (ceiling - weak = -0.")


def test_splits_without_a_gap_of_their_own_count_like_all_others() -> None:
    scores = study(np.random.default_rng(6), 4, 300, 0.0)
    none = Scores(scores[0].weak, scores[0].weak, scores[0].weak, scores[0].clusters)
    with_it, without = performance_gap_recovered([*scores, none]), performance_gap_recovered(scores)
    assert with_it.n == without.n + 300 and with_it.gap.value == pytest.approx(without.gap.value * 4 / 5)


def test_one_split_works_from_its_rows_and_has_no_fieller_interval() -> None:
    found = performance_gap_recovered(study(np.random.default_rng(8), 1, 600, 0.0))
    assert found.value is not None and found.low is not None and found.low < found.value
    assert found.fieller is None and found.fieller_reason == "one split has no spread"


def test_one_group_of_rows_tells_no_spread() -> None:
    found = performance_gap_recovered([Scores(np.zeros(50), np.ones(50), np.ones(50), ["g"] * 50)])
    assert found.value is None and found.reason is not None and "one group of rows" in found.reason


def test_it_is_invariant_to_order_and_to_shift_and_scale_of_the_scores() -> None:
    rng = np.random.default_rng(9)
    scores = study(rng, 4, 200, 0.05)
    mixed = []
    for s in scores:
        order = rng.permutation(200)
        parts = (np.asarray(x)[order] for x in (s.weak, s.student, s.ceiling, s.clusters))
        mixed.append(Scores(*parts))
    scaled = [Scores(*(0.2 + 0.5 * np.asarray(x) for x in (s.weak, s.student, s.ceiling)), s.clusters) for s in scores]
    first = performance_gap_recovered(scores)
    for other in (performance_gap_recovered(mixed), performance_gap_recovered(scaled)):
        assert (other.value, other.low, other.high) == pytest.approx((first.value, first.low, first.high), abs=1e-4)
        assert other.fieller == pytest.approx(first.fieller)
    backwards = performance_gap_recovered(scores[::-1])
    assert backwards.value == pytest.approx(first.value)
    assert (backwards.low, backwards.high) == pytest.approx((first.low, first.high), abs=0.03)


def test_copied_rows_do_not_narrow_the_interval_when_they_share_a_group() -> None:
    scores = study(np.random.default_rng(10), 4, 200, 0.05)
    doubled = [Scores(*(np.tile(x, 2) for x in (s.weak, s.student, s.ceiling, s.clusters))) for s in scores]
    once, twice = performance_gap_recovered(scores), performance_gap_recovered(doubled)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=1e-3)


def test_a_group_tested_in_every_split_counts_once() -> None:
    s = study(np.random.default_rng(11), 1, 300, 0.0)[0]
    alone, repeated = performance_gap_recovered([s]), performance_gap_recovered([s] * 10)
    assert repeated.low == pytest.approx(alone.low, abs=0.05) and repeated.high == pytest.approx(alone.high, abs=0.05)


def test_fieller_on_his_own_example_ends_where_the_paired_t_test_is_at_five_percent() -> None:
    # Cushny and Peebles (1905): hours of sleep gained under right- and left-handed hyoscine.
    right = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    left = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = fieller(right, left)
    assert found is not None
    assert found[0] < right.mean() / left.mean() < found[1]
    for end in found:
        assert ttest_1samp(right - end * left, 0).pvalue == pytest.approx(0.05)


def test_fieller_is_unbounded_where_the_denominator_may_be_zero() -> None:
    assert fieller([1.0, 2.0, 3.0], [0.5, -0.4, 0.2]) is None
    assert fieller([1.0], [2.0]) is None


def test_auroc_gap_is_the_ratio_of_mean_areas() -> None:
    rng = np.random.default_rng(12)
    truths = [rng.integers(0, 2, 300) for _ in range(5)]

    def said(y: np.ndarray, lift: float) -> np.ndarray:
        return np.round(np.clip(0.5 + (2 * y - 1) * lift + rng.normal(size=300) * 0.2, 0, 1), 2)  # with ties

    scores = [Scores(said(y, 0.05), said(y, 0.1), said(y, 0.2), np.arange(300)) for y in truths]
    weak, student, ceiling = (
        np.mean([roc_auc_score(y, getattr(s, who)) for s, y in zip(scores, truths, strict=True)])
        for who in ("weak", "student", "ceiling")
    )
    found = auroc_gap_recovered(scores, truths)
    assert found.value == pytest.approx((student - weak) / (ceiling - weak))
    assert found.low is not None and found.high is not None and found.low < found.value < found.high


def test_the_interval_of_an_area_is_as_wide_as_its_spread_over_repetitions() -> None:
    rng, areas, widths = np.random.default_rng(13), [], []
    for _ in range(60):
        y = rng.integers(0, 2, 400)
        p = [np.clip(0.5 + (2 * y - 1) * lift + rng.normal(size=400) * 0.25, 0, 1) for lift in (0.0, 0.1, 0.2)]
        gap = auroc_gap_recovered([Scores(*p, clusters=np.arange(400))], [y]).gap
        areas.append(gap.value)
        widths.append((gap.high - gap.low) / (2 * 1.96))
    assert np.mean(widths) == pytest.approx(np.std(areas), rel=0.25)


def test_rows_of_one_class_have_no_area() -> None:
    s = Scores(np.full(4, 0.1), np.full(4, 0.2), np.full(4, 0.3), np.arange(4))
    with pytest.raises(ValueError, match="rows of both classes in every split"):
        auroc_gap_recovered([s], [np.ones(4)])


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([], "at least one row"),
        ([Scores([], [], [], [])], "at least one row"),
        ([Scores([0.5, 2.0], [0.5, 0.5], [0.5, 0.5], [0, 1])], r"in \[0, 1\]"),
        ([Scores([0.5, np.nan], [0.5, 0.5], [0.5, 0.5], [0, 1])], r"in \[0, 1\]"),
        ([Scores([0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0])], r"rows \[2\] but groups \[1\]"),
    ],
)
def test_scores_that_cannot_be_are_refused(scores: list[Scores], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        performance_gap_recovered(scores)


def test_pooled_means_of_equal_values_still_have_a_width() -> None:
    found = pooled([np.ones(40), np.ones(40)], [np.arange(40), np.arange(40, 80)])
    assert found.value == 1.0 and found.low < 1.0 and found.n == 80


def test_pooled_means_stay_in_range_and_pass_over_empty_splits() -> None:
    rng = np.random.default_rng(14)
    grades = [np.clip(rng.normal(0.98, 0.05, 60), 0, 1) for _ in range(3)]
    found = pooled([*grades, []], [np.arange(60)] * 3 + [[]])
    assert found.n == 180 and 0.0 <= found.low <= found.value <= found.high <= 1.0
    with pytest.raises(ValueError, match="at least one row"):
        pooled([], [])


def test_a_difference_is_paired() -> None:
    s = study(np.random.default_rng(15), 6, 200, 0.0)
    clusters = [each.clusters for each in s]
    paired = pooled_difference([each.student for each in s], [each.weak for each in s], clusters)
    loose = pooled([each.student for each in s], clusters)
    assert paired.low > 0 and paired.n == 1200
    assert paired.high - paired.low < loose.high - loose.low


def test_ten_splits_of_five_hundred_rows_take_less_than_a_second() -> None:
    scores = study(np.random.default_rng(16), 10, 500, 0.05)
    began = time.perf_counter()
    performance_gap_recovered(scores, resamples=1000)
    assert time.perf_counter() - began < 1.0
