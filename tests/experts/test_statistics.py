"""Figures of the experts' answers against values worked out by hand, and honest where there is little to say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from superalign.experts.items import ExpertAnswer
from superalign.experts.statistics import (
    cohen_kappa,
    critic_agreement,
    expert_agreement,
    krippendorff_alpha,
    oversight_gain,
    summary,
    working_time,
)
from tests.experts.test_queue import item

VALUES = st.sampled_from([0.0, 0.5, 1.0])


def answer(i: int, who: str, value: float, **changes: object) -> ExpertAnswer:
    of_item = {key: changes.pop(key) for key in ("p", "blind", "gold", "lane") if key in changes}
    base = ExpertAnswer(f"l{i}{who}", item(i, **of_item), who, value, False, 1.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_kappa_of_the_textbook_table() -> None:
    # 45 both yes, 15 yes/no, 25 no/yes, 15 both no: p_o = .6, p_e = .6 * .7 + .4 * .3 = .54, kappa = .06/.46.
    first = [1.0] * 60 + [0.0] * 40
    second = [1.0] * 45 + [0.0] * 15 + [1.0] * 25 + [0.0] * 15
    kappa = cohen_kappa(first, second)
    assert kappa is not None
    assert kappa.value == pytest.approx(0.06 / 0.46)
    assert kappa.n == 100
    # Fleiss, Cohen and Everitt (1969): the standard error of this table is .100.
    assert (kappa.low, kappa.high) == pytest.approx((0.1304 - 1.96 * 0.1, 0.1304 + 1.96 * 0.1), abs=0.03)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    kappa = cohen_kappa(first, second)
    if len({*first, *second}) < 2:
        assert kappa is None
        return
    assert kappa is not None
    names = {0.0: "no", 0.5: "tie", 1.0: "yes"}
    expected = cohen_kappa_score([names[a] for a in first], [names[b] for b in second])
    assert kappa.value == pytest.approx(expected)
    assert kappa.low <= kappa.value <= kappa.high
    assert kappa.low < kappa.high
    turned = cohen_kappa(second, first)
    assert turned is not None
    assert turned.value == pytest.approx(kappa.value)


def test_alpha_of_krippendorffs_own_example() -> None:
    # "Computing Krippendorff's alpha-reliability" (2011), example C: four observers, missing values, alpha = .743.
    rows = [
        [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
        [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
    ]  # fmt: skip
    alpha = krippendorff_alpha(rows)
    assert alpha is not None
    assert alpha.value == pytest.approx(0.743, abs=5e-4)
    assert alpha.n == 11
    assert alpha.low < 0.743 < alpha.high


def test_alpha_of_two_observers_by_hand() -> None:
    # Ten items of two: 1 disagrees. o_01 + o_10 = 2, n = 20, n_0 = 9, n_1 = 11: alpha = 1 - 19 * 2 / (2 * 99).
    alpha = krippendorff_alpha([[1.0, 1.0]] * 5 + [[0.0, 0.0]] * 4 + [[0.0, 1.0]])
    assert alpha is not None
    assert alpha.value == pytest.approx(1 - 19 * 2 / (2 * 99))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(VALUES, max_size=4), max_size=20), st.randoms())
def test_alpha_does_not_depend_on_order_or_on_items_with_one_answer(rows: list[list[float]], random: object) -> None:
    alpha = krippendorff_alpha(rows)
    shuffled = [sorted(row) for row in rows] + [[1.0], []]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = krippendorff_alpha(shuffled)
    if alpha is None:
        assert again is None
        return
    assert again is not None
    assert alpha.value == pytest.approx(again.value)
    assert alpha.low <= alpha.value <= alpha.high
    assert alpha.value <= 1 + 1e-12


@pytest.mark.parametrize("agreement", [0.75, 0.9, 0.99])
def test_the_intervals_of_kappa_and_alpha_cover(agreement: float) -> None:
    rng = np.random.default_rng(3)
    true, hit = 2 * agreement - 1, 0  # both margins are one half, so chance agrees half of the time
    for _ in range(200):
        first = rng.integers(0, 2, 30).astype(float)
        second = np.where(rng.random(30) < agreement, first, 1 - first)
        kappa = cohen_kappa(first.tolist(), second.tolist())
        alpha = krippendorff_alpha(np.stack([first, second], axis=1).tolist())
        assert kappa and alpha
        hit += (kappa.low <= true <= kappa.high) + (alpha.low <= true <= alpha.high)
    assert hit / 400 > 0.9


def test_a_few_answers_that_agree_prove_little() -> None:
    kappa, alpha = cohen_kappa([1.0, 0.0], [1.0, 0.0]), krippendorff_alpha([[1.0, 1.0], [0.0, 0.0]])
    assert kappa and alpha
    assert kappa.value == alpha.value == 1.0
    assert kappa.low < 0.3
    assert alpha.low < 0.3


def test_without_doubles_or_with_one_answer_throughout_there_is_no_agreement_to_tell() -> None:
    assert cohen_kappa([], []) is None
    assert cohen_kappa([1.0, 1.0], [1.0, 1.0]) is None
    assert krippendorff_alpha([[1.0], [0.0], []]) is None
    assert krippendorff_alpha([[1.0, 1.0], [1.0, 1.0, 1.0]]) is None
    assert expert_agreement([answer(1, "ann", 1.0), answer(2, "ann", 0.0)]) is None


def test_an_error_rate_is_told_of_who_can_be_checked_and_of_others_why_not() -> None:
    answers = [answer(i, "ann", float(i != 0), gold=1.0) for i in range(10)]  # one mistake on ten gold items
    answers += [answer(20, "bob", 1.0), answer(20, "cid", 0.0), answer(30, "dee", 1.0)]
    told = summary(answers)
    posterior = stats.beta(3, 27)  # of Beta(2, 18) and one mistake of ten
    assert told["error"]["ann"]["value"] == pytest.approx(posterior.mean()) and told["error"]["ann"]["n"] == 10
    interval = told["error"]["ann"]["low"], told["error"]["ann"]["high"]
    assert interval == pytest.approx(posterior.interval(0.95), abs=0.02)
    assert set(told["quality"]) == {"ann"}
    assert told["error"]["bob"] is told["error"]["cid"] is told["error"]["dee"] is None
    assert told["error_unknown"]["bob"].startswith("not identified: two annotators disagree")
    assert told["error_unknown"]["dee"] == "no gold item and no double is answered"


def test_agreement_with_the_critic_counts_a_tie_half() -> None:
    answers = [answer(1, "ann", 1.0, p=0.9), answer(2, "ann", 0.0, p=0.9), answer(3, "ann", 0.5, p=0.1)]
    agreed = critic_agreement([*answers, answer(4, "ann", 0.5, p=0.5)])
    assert agreed is not None
    assert agreed.value == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert critic_agreement([]) is None


def test_the_gain_of_oversight_is_over_the_better_of_expert_and_critic() -> None:
    # Truth is 1 throughout. Together 3 of 4 right, the expert alone 2 of 4, the critic alone 1 of 4.
    rows = [(1.0, 1.0, 0.9), (1.0, 1.0, 0.1), (1.0, 0.0, 0.2), (0.0, 0.0, 0.3)]
    answers = [answer(i, "ann", final, alone=alone, p=p, blind=True) for i, (final, alone, p) in enumerate(rows)]
    truth = {f"item{i:03d}": 1.0 for i in range(4)}
    gain = oversight_gain([*answers, answer(9, "ann", 1.0)], truth)
    assert gain is not None
    assert [round(e.value, 4) for e in gain.values()] == [0.75, 0.5, 0.25, 0.25]
    assert gain["gain"].n == 4
    assert gain["gain"].low <= 0.25 <= gain["gain"].high
    assert oversight_gain(answers, {}) is None
    assert oversight_gain([answer(1, "ann", 1.0)], truth) is None


def test_a_gain_of_one_answer_knows_nothing() -> None:
    gain = oversight_gain([answer(1, "ann", 1.0, alone=0.0, p=0.1)], {"item001": 1.0})
    assert gain is not None
    assert gain["gain"].value == 1.0
    assert gain["gain"].high - gain["gain"].low > 1.0


def test_time_is_told_by_median_and_ninetieth_percentile() -> None:
    answers = [answer(i, "ann", 1.0, seconds=float(i)) for i in range(1, 12)] + [answer(20, "ann", 1.0)]
    assert working_time(answers) == {"median": 6.0, "p90": 10.0, "sum": 66.0, "n": 11}
    assert working_time([answer(1, "ann", 1.0)]) is None


def test_the_summary_keeps_traps_out_of_agreement_and_programs_out_of_cost() -> None:
    answers = [
        answer(1, "ann", 1.0, p=0.9, seconds=60.0),
        answer(1, "bob", 1.0, p=0.9, seconds=120.0),
        answer(2, "ann", 0.0, p=0.9, lane="forced"),
        answer(3, "ann", 0.0, gold=1.0, p=0.9, blind=True, alone=1.0),
        answer(4, "sim", 1.0, simulated=True),
    ]
    told = summary(answers, hourly_rate=40.0)
    assert (told["labels"], told["simulated"], told["gold"], told["doubles"]) == (5, 1, 1, 1)
    assert told["expert_expert"]["value"] == 1.0
    assert told["expert_critic"]["value"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert told["expert_critic_on_doubles"]["n"] == 2
    assert told["kappa"] == [{"annotators": ["ann", "bob"], "kappa": None}]
    assert told["alpha"] is None
    assert told["error"]["ann"]["n"] == 2
    assert told["oversight"]["gain"]["value"] == -1.0
    assert told["by_lane"] == {"active": 3, "forced": 1, "gold": 1}
    assert told["by_annotator"] == {"ann": 3, "bob": 1, "sim": 1}
    assert told["cost"] == pytest.approx(4 * 90 / 3600 * 40)


def test_two_who_always_press_the_same_side_agree_by_chance_alone() -> None:
    """The sides are swapped for half of the pairs, so told by texts their answers would vary together: kappa 1."""
    answers = []
    for i in range(40):
        one = replace(answer(i, "ann", 1.0), item=replace(answer(i, "ann", 1.0).item, kind="pair", second="other"))
        answers += [replace(one, annotator=who, value=one.item.as_shown(1.0)) for who in ("ann", "bob")]
    assert {a.value for a in answers} == {0.0, 1.0}
    told = summary(answers)
    assert told["kappa"] == [{"annotators": ["ann", "bob"], "kappa": None}] and told["alpha"] is None


def test_the_summary_of_nothing_claims_nothing() -> None:
    told = summary([])
    assert told["labels"] == 0
    assert told["error"] == told["by_lane"] == told["by_annotator"] == {}
    assert all(
        told[name] is None for name in ("alpha", "expert_expert", "expert_critic", "oversight", "seconds", "cost")
    )
