"""Fusing critic and experts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.feedback.fusion import blend, fuse, label_weight, share_factor
from superalign.records import ExpertLabel, Judgement


def label(item: str, annotator: str, value: float) -> ExpertLabel:
    return ExpertLabel(f"{item}-{annotator}", item, "pair", annotator, value, 0.5, "active", 1, False)


def pair(i: int, p: float, abstained: bool = False) -> Judgement:
    return Judgement(f"j{i}", "pair", "q", "a", "b", "c", 0.0, p, 0.0, False, abstained, 0)


def test_fusion_is_bayes_for_a_symmetric_noisy_vote() -> None:
    assert fuse(0.6, [(1.0, 0.1)]) == pytest.approx(0.6 * 0.9 / (0.6 * 0.9 + 0.4 * 0.1))
    assert fuse(0.6, [(0.0, 0.1), (0.0, 0.1)]) == pytest.approx(0.6 * 0.01 / (0.6 * 0.01 + 0.4 * 0.81))


def test_a_tie_and_no_vote_leave_the_critic_alone() -> None:
    assert fuse(0.7, []) == pytest.approx(0.7)
    assert fuse(0.7, [(0.5, 0.1)]) == pytest.approx(0.7)


def test_two_experts_overrule_a_critic_that_is_certain() -> None:
    assert fuse(1.0, [(0.0, 0.02), (0.0, 0.02)]) < 0.5


def test_weights_are_the_fisher_information_and_drop_the_undecided() -> None:
    assert label_weight([0.95, 0.05, 0.8, 0.6, 0.59, 0.5]) == pytest.approx([0.81, 0.81, 0.36, 0.04, 0, 0])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.04, 1), st.booleans()), min_size=1, max_size=100))
def test_the_expert_share_lies_in_its_band_unless_the_four_uses_bind(rows: list[tuple[float, bool]]) -> None:
    w, expert = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    factor = share_factor(w, expert)
    scaled = np.where(expert, w * factor, w)
    if expert.any() and not expert.all():
        share = scaled[expert].sum() / scaled.sum()
        assert share <= 0.5 + 1e-9
        assert share >= 0.1 - 1e-9 or factor == 4
    else:
        assert factor == 1


def test_blending_orients_weighs_and_names_the_source() -> None:
    judged = [pair(0, 0.9), pair(1, 0.1), pair(2, 0.55), pair(3, 0.9, abstained=True), pair(4, 0.5, abstained=True)]
    votes = [label("j4", "ann", 0.0)]
    first, second, weak, silent, expert = blend(judged, votes, {"ann": 0.1})
    assert first is not None
    assert (first.chosen_first, first.q, first.source) == (True, pytest.approx(0.9), "critic")
    assert second is not None
    assert (second.chosen_first, second.q) == (False, pytest.approx(0.9))
    assert weak is None
    assert silent is None
    assert expert is not None
    assert (expert.chosen_first, expert.q, expert.source) == (False, pytest.approx(0.9), "expert")


def test_nothing_in_gives_nothing_out() -> None:
    assert blend([], [], {}) == []
