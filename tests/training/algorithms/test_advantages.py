from __future__ import annotations

import numpy as np
import pytest
import torch

from superalign.training.algorithms.advantages import generalised, group_relative, leave_one_out, whitened

GROUPS = ["a", "b", "a", "b", "a", "alone"]
REWARDS = [1.0, 5.0, 0.0, 7.0, 0.5, 3.0]


def test_group_relative_has_mean_0_and_variance_1_in_each_group() -> None:
    found = group_relative(REWARDS, GROUPS)
    mine = found[[0, 2, 4]]
    assert mine.mean() == pytest.approx(0)
    assert mine.std(ddof=1) == pytest.approx(1, abs=1e-3)
    assert found[[1, 3]] == pytest.approx([-(2**-0.5), 2**-0.5], abs=1e-3)
    assert found[5] == 0


def test_leave_one_out_compares_with_the_mean_of_the_others() -> None:
    found = leave_one_out(REWARDS, GROUPS)
    assert found == pytest.approx([1 - 0.25, 5 - 7, 0 - 0.75, 7 - 5, 0.5 - 0.5, 0])


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_generalised_advantages_are_the_discounted_sum_of_errors(lam: float) -> None:
    rng = np.random.default_rng(0)
    lengths, width = [4, 1, 3], 4
    rewards, values = rng.normal(size=(3, width)), rng.normal(size=(3, width))
    mask = np.array([[t < n for t in range(width)] for n in lengths], dtype=float)
    found, returns = generalised(torch.tensor(rewards * mask), torch.tensor(values * mask), torch.tensor(mask), lam)
    for row, length in enumerate(lengths):
        after = [*values[row, 1:length], 0.0]
        errors = [rewards[row, t] + after[t] - values[row, t] for t in range(length)]
        expected = [sum(lam ** (s - t) * errors[s] for s in range(t, length)) for t in range(length)]
        assert found[row, :length].tolist() == pytest.approx(expected)
        assert returns[row, :length].tolist() == pytest.approx(
            [e + v for e, v in zip(expected, values[row], strict=False)]
        )
        assert not found[row, length:].any() and not returns[row, length:].any()


def test_whitening_looks_at_masked_entries_only() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    found = whitened(torch.tensor([[1.0, 2.0, 99.0], [3.0, 4.0, 5.0]]), mask)
    kept = found[mask.bool()]
    assert kept.mean().item() == pytest.approx(0, abs=1e-6)
    assert kept.var(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert found[0, 2] == 0
