from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superalign.training.algorithms.losses import (
    LossName,
    cdpo,
    confident_labels,
    dpo,
    drdpo,
    ipo,
    preference_loss,
    rdpo,
    ropo,
)

NAMES: list[LossName] = ["cdpo", "dpo", "rdpo", "ropo", "drdpo", "ipo"]
margins = st.floats(-20, 20)
probabilities = st.floats(0, 1)
batches = st.lists(st.tuples(margins, probabilities, st.floats(0.05, 2)), min_size=1, max_size=8)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@given(margins, probabilities)
def test_losses_equal_their_closed_forms(h: float, q: float) -> None:
    up, down = softplus(-h), softplus(h)
    assert dpo(t(h)).item() == pytest.approx(up)
    assert cdpo(t(h), t(q)).item() == pytest.approx(q * up + (1 - q) * down)
    assert ipo(t(h), t(q), beta=0.5).item() == pytest.approx((2 * h - (2 * q - 1)) ** 2, abs=1e-9)
    eps, c = min(1 - q, 0.35), max(-10.0, min(10.0, h))
    expected = ((1 - eps) * softplus(-c) - eps * softplus(c)) / (1 - 2 * eps)
    assert rdpo(t(h), t(q)).item() == pytest.approx(expected, abs=1e-9)


@given(margins)
def test_certain_labels_make_cdpo_and_rdpo_plain_dpo(h: float) -> None:
    assert cdpo(t(h), t(1)).item() == pytest.approx(dpo(t(h)).item())
    clamped = t(max(-10.0, min(10.0, h)))
    assert rdpo(t(h), t(1)).item() == pytest.approx(dpo(clamped).item())


@given(margins, probabilities)
def test_exchanging_the_answers_and_the_label_leaves_cdpo_and_ipo(h: float, q: float) -> None:
    assert cdpo(t(h), t(q)).item() == pytest.approx(cdpo(t(-h), t(1 - q)).item())
    assert ipo(t(h), t(q), 0.1).item() == pytest.approx(ipo(t(-h), t(1 - q), 0.1).item(), abs=1e-6)


@given(margins, probabilities)
def test_the_gradient_of_cdpo_is_sigma_h_minus_q(h: float, q: float) -> None:
    x = t(h).requires_grad_()
    cdpo(x, t(q)).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(1 / (1 + math.exp(-h)) - q, abs=1e-9)


@given(st.floats(-9.5, 9.5), st.floats(0.0, 0.35))
def test_rdpo_over_flips_of_its_rate_is_the_clean_loss(h: float, eps: float) -> None:
    q = t(1 - eps)
    noisy = (1 - eps) * rdpo(t(h), q) + eps * rdpo(t(-h), q)
    assert noisy.item() == pytest.approx(dpo(t(h)).item(), abs=1e-9)


@given(st.floats(-1e6, 1e6), probabilities)
def test_rdpo_is_bounded_and_no_longer_teaches_beyond_its_clamp(h: float, q: float) -> None:
    x = t(h).requires_grad_()
    loss = rdpo(x, t(q)).sum()
    loss.backward()
    assert abs(loss.item()) < 40
    assert abs(h) <= 10 or x.grad is None or x.grad.item() == 0


alphas = st.floats(2.01, 100)


@given(margins, alphas)
def test_ropo_is_equation_6_of_its_paper(h: float, alpha: float) -> None:
    expected = 4 * alpha / (1 + alpha) ** 2 * (softplus(-h) + alpha / (1 + math.exp(h)))
    assert ropo(t(h), alpha).item() == pytest.approx(expected)


def test_the_default_of_ropo_is_that_of_its_paper() -> None:
    assert ropo(t(0.7)).item() == pytest.approx(ropo(t(0.7), 14.0).item())
    assert ropo(t(0.0)).item() == pytest.approx(56 / 225 * (math.log(2) + 7))


@given(margins, alphas)
def test_flips_change_the_symmetric_part_of_ropo_by_a_constant(h: float, alpha: float) -> None:
    share = 4 * alpha / (1 + alpha) ** 2
    symmetric = (ropo(t(h), alpha) - share * dpo(t(h))) + (ropo(t(-h), alpha) - share * dpo(t(-h)))
    assert symmetric.item() == pytest.approx(share * alpha)


@given(alphas)
def test_a_pair_counts_most_for_ropo_where_its_label_surprises_somewhat_and_less_where_it_surprises_much(
    alpha: float,
) -> None:
    h = torch.linspace(-30, 30, 4001, dtype=torch.float64).requires_grad_()
    ropo(h, alpha).sum().backward()
    assert h.grad is not None
    size = -h.grad
    most = int(size.argmax())
    assert size.max().item() == pytest.approx(1, abs=1e-4)
    assert torch.sigmoid(-h[most]).item() == pytest.approx((1 + alpha) / (2 * alpha), abs=0.01)
    assert (size[: most + 1].diff() >= 0).all() and (size[most:].diff() <= 0).all()
    assert size[0].item() == pytest.approx(4 * alpha / (1 + alpha) ** 2, abs=1e-6)


@given(batches)
def test_drdpo_lies_between_the_least_loss_and_the_mean(batch: list[tuple[float, float, float]]) -> None:
    h, q, w = (torch.tensor(column, dtype=torch.float64) for column in zip(*batch, strict=True))
    losses, value = cdpo(h, q), drdpo(h, q, w).item()
    assert losses.min().item() - 1e-9 <= value <= (w * losses).sum().item() / w.sum().item() + 1e-9


def test_drdpo_gives_a_flipped_pair_less_influence_than_dpo_does() -> None:
    h = t(3.0, 3.0, -6.0).requires_grad_()
    drdpo(h, t(1, 1, 1), t(1, 1, 1)).backward()
    assert h.grad is not None
    assert abs(h.grad[2].item()) < 0.01 < torch.sigmoid(t(6.0)).item() / 3


@given(batches, st.sampled_from(NAMES), st.floats(0.1, 5))
def test_a_loss_scales_with_its_weights(batch: list[tuple[float, float, float]], name: LossName, by: float) -> None:
    h, q, w = (torch.tensor(column, dtype=torch.float64) for column in zip(*batch, strict=True))
    once, scaled = (preference_loss(name, h, q, weights).item() for weights in (w, by * w))
    assert scaled == pytest.approx(by * once, rel=1e-6, abs=1e-9)


def test_a_pair_counts_by_its_weight() -> None:
    h, q = t(1.0, -2.0), t(0.9, 0.7)
    expected = (2.0 * cdpo(h, q)[0] + 0.5 * cdpo(h, q)[1]) / 2
    assert preference_loss("cdpo", h, q, t(2.0, 0.5)).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", ["cdpo", "dpo", "rdpo", "drdpo"])
def test_at_the_reference_a_certain_pair_costs_ln_2(name: LossName) -> None:
    assert preference_loss(name, t(0, 0), t(1, 1), t(1, 1)).item() == pytest.approx(math.log(2))


def test_an_unknown_loss_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no preference loss 'kto'; there are cdpo, dpo"):
        preference_loss("kto", t(0), t(1), t(1))  # type: ignore[arg-type]


def test_the_students_own_preference_takes_its_share_of_the_label_where_it_has_one() -> None:
    h, q = torch.tensor([2.0, -0.5, 0.0]), torch.tensor([0.8, 0.8, 0.8])
    assert confident_labels(h, q, 0.5).tolist() == pytest.approx([0.9, 0.4, 0.8])
    assert confident_labels(h, q, 0.0).tolist() == pytest.approx(q.tolist())
