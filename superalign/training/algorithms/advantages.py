"""From rewards to advantages: relative to a group of answers to one query, or by a learned value of each token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_SPREAD = 1e-4


def group_relative(rewards: Sequence[float], groups: Sequence[str]) -> Floats:
    """(r - mean) / (std + 1e-4) over the answers of one group, shape (n,) (GRPO, arXiv 2402.03300 section 4.1.2)."""
    out = np.empty(len(rewards))
    for index in _members(groups):
        mine = np.asarray(rewards, dtype=np.float64)[index]
        out[index] = (mine - mine.mean()) / (mine.std(ddof=1 if len(mine) > 1 else 0) + MIN_SPREAD)
    return out


def leave_one_out(rewards: Sequence[float], groups: Sequence[str]) -> Floats:
    """r_i - mean of the others' rewards in the group, shape (n,) (RLOO, arXiv 2402.14740 eq. 8); 0 where alone."""
    out = np.zeros(len(rewards))
    for index in _members(groups):
        mine = np.asarray(rewards, dtype=np.float64)[index]
        if len(mine) > 1:
            out[index] = (mine - mine.mean()) * len(mine) / (len(mine) - 1)
    return out


def generalised(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation with discount 1 (arXiv 1506.02438 eq. 16), and the returns, both [b, t].

    Args:
        rewards: of each token, [b, t].
        values: expected return before each token, [b, t].
        mask: 1 on the tokens of the completions, which start at the first column, [b, t].
        lam: 1 is Monte Carlo, 0 one step.
    """
    advantages, carried = torch.zeros_like(rewards), torch.zeros(len(rewards), device=rewards.device)
    after = torch.zeros_like(carried)
    for t in reversed(range(rewards.shape[1])):
        here = mask[:, t]
        delta = rewards[:, t] + after - values[:, t]
        carried = here * (delta + lam * carried)
        advantages[:, t], after = carried, here * values[:, t]
    return advantages, (advantages + values) * mask


def whitened(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the masked entries, 0 elsewhere; [b, t]."""
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean) ** 2 * mask).sum() / count
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def _members(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    return [np.asarray(index, dtype=np.int64) for index in places.values()]
