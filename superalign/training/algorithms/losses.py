"""Pair-wise losses under label noise.

Throughout, h = beta * (log-ratio of chosen - log-ratio of rejected) (the DPO margin, arXiv 2305.18290 eq. 7, in nats),
q = P(chosen is better than rejected) and w the weight of the pair, all of shape [pairs]. l(h) = -log sigma(h). A
log-ratio is the sum over the tokens of a response, for the losses in `PER_TOKEN` their mean.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch.nn.functional import logsigmoid

from superalign.training.algorithms.base import ROPO_ALPHA

LossName = Literal["cdpo", "dpo", "rdpo", "ropo", "drdpo", "ipo"]

PER_TOKEN = ("ipo",)

MARGIN_CLAMP = 10.0  # rDPO is unbounded below: beyond this margin a pair no longer teaches
NOISE_CLAMP = 0.35  # rDPO divides by 1 - 2 eps
DRDPO_BETA = 1.0


def dpo(h: torch.Tensor) -> torch.Tensor:
    """Plain DPO, l(h) (arXiv 2305.18290 eq. 7): the label is taken as certain."""
    return -logsigmoid(h)


def cdpo(h: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Conservative DPO per instance, q l(h) + (1-q) l(-h) (Mitchell 2023, eps = 1-q); least at h = logit q."""
    return -q * logsigmoid(h) - (1 - q) * logsigmoid(-h)


def rdpo(h: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Robust DPO, [(1-eps) l(h) - eps l(-h)] / (1-2 eps) with eps = 1-q (arXiv 2403.00409 eq. 12).

    Its mean over flips of rate eps is the clean loss. |h| is clamped to 10 and eps to .35: it has no lower bound.
    """
    h, eps = h.clamp(-MARGIN_CLAMP, MARGIN_CLAMP), (1 - q).clamp(0.0, NOISE_CLAMP)
    return (-(1 - eps) * logsigmoid(h) + eps * logsigmoid(-h)) / (1 - 2 * eps)


def ropo(h: torch.Tensor, alpha: float = ROPO_ALPHA) -> torch.Tensor:
    """ROPO, 4 alpha / (1 + alpha)^2 [l(h) + alpha sigma(-h)], for noise of unknown rate (arXiv 2404.04102 eq. 6).

    sigma(-h) + sigma(h) = 1, so that symmetric flips change the second term by a constant factor only. With
    u = sigma(-h) the gradient's size is 4 alpha / (1 + alpha)^2 (u (1 + alpha) - alpha u^2): 1 at most, at
    u = (1 + alpha) / (2 alpha), from where on it falls with u to 4 alpha / (1 + alpha)^2. That of l(h) is u: it grows
    the more, the more a label contradicts the policy. The paper takes alpha > 2: then every pair counts at u = 1 for
    less than 8/9 of the most, by its default of 14 for 1/4.
    """
    return 4 * alpha / (1 + alpha) ** 2 * (-logsigmoid(h) + alpha * torch.sigmoid(-h))


def ipo(h: torch.Tensor, q: torch.Tensor, beta: float) -> torch.Tensor:
    """IPO (arXiv 2310.12036 eq. 17, tau = beta) with a soft label: (h/beta - (2q-1)/(2 beta))^2.

    h is of log-ratios per token: the paper leaves it open, its authors have told TRL so (DPOTrainer, loss_type=ipo).
    Of sums, the loss would grow with the square of a response's length, and ask the same margin of short and long ones.
    """
    return (h / beta - (2 * q - 1) / (2 * beta)) ** 2


def drdpo(h: torch.Tensor, q: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Dr. DPO, -b log E[exp(-l/b)] over the batch (arXiv 2407.07880), E weighted by w, l the soft-label loss; a scalar.

    Pairs with a large loss, which are likely flipped, lose influence.
    """
    shares = (w / w.sum()).log()
    return -DRDPO_BETA * torch.logsumexp(shares - cdpo(h, q) / DRDPO_BETA, dim=0)


def kto(h: torch.Tensor, z: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KTO (arXiv 2402.01306 eq. 8) under a soft label: q (1 - sigma(h - z)) + (1 - q) (1 - sigma(z - h)).

    h = beta * log-ratio of single answers, z the reference point, q = P(the answer is acceptable): the expected loss
    where the label is right with probability q. Both classes weigh 1.
    """
    return q * torch.sigmoid(z - h) + (1 - q) * torch.sigmoid(h - z)


def confident_labels(h: torch.Tensor, q: torch.Tensor, alpha: float) -> torch.Tensor:
    """(1 - alpha) q + alpha 1[h > 0]: the student's own hardened preference beside the supervisor's (2312.09390 A.4).

    The threshold that halves the pairs is 0: which response of a pair comes first is arbitrary. Where the student has
    no preference yet (h = 0) the supervisor's stands.
    """
    own = torch.where(h == 0, q, (h > 0).to(q.dtype))
    return (1 - alpha) * q + alpha * own


def preference_loss(
    name: LossName, h: torch.Tensor, q: torch.Tensor, w: torch.Tensor, beta: float = 0.1, ropo_alpha: float = ROPO_ALPHA
) -> torch.Tensor:
    """The loss of a batch, a scalar: the mean of w * loss over the pairs (`drdpo`: of the batch, times mean w).

    `dpo` and `ropo` do not look at q. `beta` is used by `ipo` alone, `ropo_alpha` by `ropo`.

    Raises:
        ValueError: there is no loss of this name.
    """
    if name == "drdpo":
        return drdpo(h, q, w) * w.mean()
    if name == "dpo":
        losses = dpo(h)
    elif name == "cdpo":
        losses = cdpo(h, q)
    elif name == "rdpo":
        losses = rdpo(h, q)
    elif name == "ropo":
        losses = ropo(h, ropo_alpha)
    elif name == "ipo":
        losses = ipo(h, q, beta)
    else:
        raise ValueError(f"no preference loss {name!r}; there are {', '.join(get_args(LossName))}")
    return (w * losses).mean()
