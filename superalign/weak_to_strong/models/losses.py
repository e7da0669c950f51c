"""What a student is trained on: soft cross-entropy towards targets that may depend on what the student says itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from superalign.errors import UserError
from superalign.weak_to_strong.base import Floats, Ints

Threshold = Literal["batch", "streaming"]


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-sum_k t_k log softmax(z)_k of each row, in nats; logits and targets [b, k] -> [b]."""
    return -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1)


class Objective:
    """Cross-entropy towards `aim`, the targets that an objective makes of the labels given and the student's logits.

    This one leaves the labels as they are. One objective serves one fit at a time, and `start` begins it.

    Attributes:
        notes: what the user must know of the fit.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, targets: Tensor, weights: Tensor, expected_accuracy: float | None = None) -> None:
        """Forget earlier fits; `targets` [n, k] and `weights` [n] are of all the rows to be trained on."""
        self.notes = []

    def whole_batch(self, progress: float) -> bool:
        """Whether `aim` must see a batch in one piece, so that micro-batches need a first pass without gradient."""
        return False

    def aim(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        """The targets [b, k] for rows with these detached logits; every row is shown once a step, in order."""
        return targets

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor, progress: float) -> Tensor:
        """sum_i w_i CE(f(x_i), aim_i), a scalar.

        Args:
            logits: of the student, [b, k].
            targets: soft labels, [b, k].
            weights: [b]; they sum to 1 over the batch, so that losses of micro-batches add up to the batch's.
            progress: share of the training done, in [0, 1].
        """
        return (weights * soft_cross_entropy(logits, self.aim(logits.detach(), targets, progress))).sum()


class CrossEntropy(Objective):
    """Naive finetuning on the soft weak labels (arXiv 2312.09390 section 3)."""


class Product(Objective):
    """Targets proportional to p_weak(k) p_student(k), without gradient (arXiv 2312.09390 appendix B).

    Rows do not depend on each other.
    """

    def aim(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        """The renormalised product, [b, k]."""
        weak = targets.clamp_min(torch.finfo(targets.dtype).tiny).log()
        return torch.softmax(weak + torch.log_softmax(logits.float(), dim=-1), dim=-1)


class Confidence(Objective):
    """The auxiliary confidence loss (arXiv 2312.09390 appendix A.4).

    (1 - a) CE(f(x), f_w(x)) + a CE(f(x), hard(x)), a rising linearly from 0 to `alpha_max` over the first `ramp` of
    the training. hard(x) is the student's own prediction, hardened under quotas: for two classes, exactly half of the
    batch is above the threshold; for more, the labels are the assignment of the largest total log-probability that
    meets every class's quota, which for two classes is the same median split.

    The threshold is that of the batch (exact; a batch in micro-batches costs a first pass without gradient, and the
    activation memory of one micro-batch), or streaming: the quotas are met over the last `window` predictions and
    the micro-batch together, in one pass. Where torch.distributed is initialised, all ranks share their predictions,
    so that they harden alike; they must then take the same number of micro-batches. Where the classes' shares vary
    with the length of a text, prefer streaming: batches hold texts of similar length.

    Args:
        alpha_max: .75 for the largest students in the paper, .5 for others.
        ramp: share of the training over which alpha rises.
        threshold: "batch" or "streaming".
        quotas: share of each class, or "weak": the weak labels' mean probabilities. None: half and half for two
            classes (the paper), "weak" for more.
        window: predictions that a streaming threshold looks back on.
        guard: watches for a collapse; True for the default `CollapseGuard`, False for none.

    Raises:
        UserError: alpha_max or ramp is not in [0, 1], the threshold is unknown, or quotas do not sum to 1.
    """

    def __init__(
        self,
        alpha_max: float = 0.75,
        ramp: float = 0.2,
        threshold: Threshold = "batch",
        quotas: Sequence[float] | Literal["weak"] | None = None,
        window: int = 256,
        guard: CollapseGuard | bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("alpha", alpha_max), ("ramp", ramp)):
            if not 0 <= value <= 1:
                raise UserError(f"confidence loss: {name}={value} is not a share; give a number from 0 to 1, e.g. 0.5")
        if threshold not in ("batch", "streaming"):
            raise UserError(f"confidence loss: threshold={threshold} is unknown; give batch or streaming")
        if not (quotas is None or isinstance(quotas, str)) and (min(quotas) < 0 or abs(sum(quotas) - 1) > 1e-6):
            raise UserError(f"confidence loss: quotas={list(quotas)} are no shares; give one per class, with sum 1")
        self.alpha_max, self.ramp, self.threshold, self.window = alpha_max, ramp, threshold, window
        self.guard = CollapseGuard() if guard is True else guard or None
        self._given_quotas = quotas
        self._quotas: Floats | None = None
        self._owed: Floats | None = None
        self._seen: Tensor | None = None

    def start(self, targets: Tensor, weights: Tensor, expected_accuracy: float | None = None) -> None:
        """Forget earlier fits and take the quotas from the labels.

        Raises:
            UserError: there is not one quota per class.
        """
        super().start(targets, weights, expected_accuracy)
        classes = targets.shape[1]
        shares = (weights[:, None] * targets).sum(0).double().cpu().numpy() / float(weights.sum())
        if self._given_quotas is None and classes == 2:
            self._quotas = np.array([0.5, 0.5])
        elif self._given_quotas is None or isinstance(self._given_quotas, str):
            self._quotas = shares
        else:
            self._quotas = np.asarray(self._given_quotas, dtype=np.float64)
        if len(self._quotas) != classes:
            raise UserError(f"confidence loss: {len(self._quotas)} quotas for {classes} classes; give one per class")
        self._owed = np.zeros(classes)
        self._seen = None
        if self.guard is not None:
            confidence = float((weights * targets.max(1).values).sum() / weights.sum())
            self.guard.start(shares, confidence if expected_accuracy is None else expected_accuracy)

    def alpha(self, progress: float) -> float:
        """Weight of the student's own labels: linear from 0 to alpha_max over the ramp; 0 after a collapse."""
        if self.guard is not None and self.guard.fired:
            return 0.0
        return self.alpha_max * (min(1.0, progress / self.ramp) if self.ramp else 1.0)

    def whole_batch(self, progress: float) -> bool:
        """A batch threshold does; a streaming one does not."""
        return self.threshold == "batch" and self.alpha(progress) > 0

    def aim(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        """(1 - a) f_w(x) + a hard(x), [b, k]: cross-entropy is linear in its targets."""
        if self._quotas is None:
            self.start(targets, torch.ones(len(targets)))
        if self.guard is not None and progress >= self.ramp and not self.guard.fired:
            reason = self.guard.observe(logits.argmax(1).cpu().numpy(), targets.argmax(1).cpu().numpy())
            if reason:
                self.notes.append(f"the confidence loss was turned off: {reason}")
        alpha = self.alpha(progress)
        if alpha == 0 and self.threshold == "batch":
            return targets
        hard = torch.from_numpy(self.harden(logits)).to(logits.device)
        return (1 - alpha) * targets + alpha * torch.nn.functional.one_hot(hard, targets.shape[1]).to(targets.dtype)

    def harden(self, logits: Tensor) -> Ints:
        """Classes of the rows of detached logits [b, k] under the quotas, shape (b,); feeds the streaming window."""
        assert self._quotas is not None and self._owed is not None
        everyone, own = _gather(logits)
        pool, past = everyone, 0
        if self.threshold == "streaming":
            if self._seen is not None:
                pool, past = torch.cat([self._seen, everyone]), len(self._seen)
            self._seen = pool[-self.window :] if self.window else None
            counts, _ = _counts(len(pool) * self._quotas)
        else:
            counts, self._owed = _counts(len(pool) * self._quotas + self._owed)
        classes = assign(torch.log_softmax(pool.double(), dim=-1).cpu().numpy(), counts)
        return classes[past:][own]


def assign(log_probabilities: Floats, counts: Ints) -> Ints:
    """Classes of the largest total log-probability of which class k has counts[k] rows.

    Args:
        log_probabilities: [n, k].
        counts: rows of each class, shape (k,), with sum n.
    """
    if len(counts) == 2:
        order = np.argsort(log_probabilities[:, 0] - log_probabilities[:, 1], kind="stable")
        classes = np.zeros(len(order), dtype=np.int64)
        classes[order[: counts[1]]] = 1
        return classes
    from scipy.optimize import linear_sum_assignment

    columns = np.repeat(np.arange(len(counts)), counts)
    _, chosen = linear_sum_assignment(log_probabilities[:, columns], maximize=True)
    return np.asarray(columns[chosen], dtype=np.int64)


def _counts(wanted: Floats) -> tuple[Ints, Floats]:
    """Whole numbers next to `wanted` with the same sum (largest remainders), and what is still owed to each class.

    What is owed goes to the next batch: a class of 1 % would otherwise never be given a row of a batch of 32.
    """
    total = round(float(wanted.sum()))
    counts = np.floor(np.maximum(wanted, 0) + 1e-9).astype(np.int64)
    while counts.sum() != total:
        short = counts.sum() < total
        rest = wanted - counts
        counts[int(np.argmax(rest) if short else np.argmin(np.where(counts > 0, rest, np.inf)))] += 1 if short else -1
    return counts, wanted - counts


def _gather(logits: Tensor) -> tuple[Tensor, slice]:
    """The logits of all ranks in the order of ranks, and where one's own are among them."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return logits, slice(None)
    world, rank = distributed.get_world_size(), distributed.get_rank()
    sizes = [torch.zeros(1, dtype=torch.int64, device=logits.device) for _ in range(world)]
    distributed.all_gather(sizes, torch.tensor([len(logits)], device=logits.device))
    rows = [int(size) for size in sizes]
    padded = torch.nn.functional.pad(logits, (0, 0, 0, max(rows) - len(logits))).contiguous()
    parts = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(parts, padded)
    before = sum(rows[:rank])
    return torch.cat([part[:n] for part, n in zip(parts, rows, strict=True)]), slice(before, before + rows[rank])


class CollapseGuard:
    """Notices, without ground truth, that self-training has latched on to something other than the labels.

    A student as good as it can be agrees with a supervisor of accuracy p on a share p of the rows, and predicts each
    class about as often. Over the last `window` predictions (judged from half of them on), agreement with the hard
    weak labels below expected accuracy - `margin`, or a total variation of more than `drift` between the student's
    classes and the weak labels' mean probabilities, is a collapse.

    Attributes:
        fired: whether it has.
    """

    def __init__(self, margin: float = 0.15, drift: float = 0.3, window: int = 256) -> None:
        self.margin, self.drift, self.window = margin, drift, window
        self.fired = False
        self._expected = 0.0
        self._shares: Floats = np.zeros(0)
        self._agreed: deque[bool] = deque(maxlen=window)
        self._classes: deque[int] = deque(maxlen=window)

    def start(self, shares: Floats, expected_accuracy: float) -> None:
        """Begin a fit; `shares` (classes,) of the weak labels, `expected_accuracy` of the supervisor."""
        self.fired = False
        self._shares, self._expected = shares, expected_accuracy
        self._agreed.clear()
        self._classes.clear()

    def observe(self, student: Ints, weak: Ints) -> str | None:
        """Take in predicted classes and hard weak labels, shape (b,); says why if this is a collapse."""
        self._agreed.extend((student == weak).tolist())
        self._classes.extend(student.tolist())
        if 2 * len(self._classes) < self.window:
            return None
        agreement = sum(self._agreed) / len(self._agreed)
        shares = np.bincount(self._classes, minlength=len(self._shares)) / len(self._classes)
        moved = float(np.abs(shares - self._shares).sum()) / 2
        reasons = []
        if agreement < self._expected - self.margin:
            reasons.append(f"the student agrees with {agreement:.2f} of the labels, {self._expected:.2f} were expected")
        if moved > self.drift:
            reasons.append(f"its classes are {moved:.2f} in total variation away from the labels'")
        self.fired = bool(reasons)
        return " and ".join(reasons) or None
