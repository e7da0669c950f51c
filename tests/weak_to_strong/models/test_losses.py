from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from superalign.errors import UserError
from superalign.weak_to_strong.models.losses import CollapseGuard, Confidence, CrossEntropy, Product, assign


def rows(n: int, classes: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, soft labels and equal weights."""
    made = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=made)
    return logits, torch.softmax(torch.randn(n, classes, generator=made), 1), torch.full((n,), 1 / n)


def unguarded(**settings: object) -> Confidence:
    return Confidence(guard=False, **settings)  # type: ignore[arg-type]


def test_cross_entropy_is_the_soft_one() -> None:
    logits, targets, weights = rows(5)
    expected = torch.nn.functional.cross_entropy(logits, targets)
    assert CrossEntropy().loss(logits, targets, weights, 0.5) == pytest.approx(float(expected), rel=1e-6)


def test_confidence_loss_is_the_one_of_appendix_a4() -> None:
    logits = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 0.5], [0.0, 3.0]])
    targets = torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5], [0.9, 0.1]])
    # The two rows with the largest P(1), 3.0 and 2.0, are above the threshold though all four exceed one half.
    hard = [1, 0, 0, 1]
    p = torch.sigmoid(logits[:, 1]).tolist()
    alpha = 0.75 * 0.5  # half way through the ramp
    expected = 0.0
    for p1, (_, weak), label in zip(p, targets.tolist(), hard, strict=True):
        imitation = -(weak * np.log(p1) + (1 - weak) * np.log(1 - p1))
        own = -np.log(p1 if label else 1 - p1)
        expected += ((1 - alpha) * imitation + alpha * own) / 4
    loss = unguarded(alpha_max=0.75, ramp=0.2).loss(logits, targets, torch.full((4,), 0.25), progress=0.1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_no_gradient_flows_through_the_hardened_labels() -> None:
    logits, targets, weights = rows(6)
    logits.requires_grad_()
    objective = unguarded()
    objective.loss(logits, targets, weights, 1.0).backward()
    aim = unguarded().aim(logits.detach(), targets, 1.0)
    # The gradient of a cross-entropy towards fixed targets is softmax - targets.
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (torch.softmax(logits.detach(), 1) - aim) / 6)


def test_alpha_rises_linearly_over_the_first_fifth_and_stays() -> None:
    objective = unguarded(alpha_max=0.75)
    assert [objective.alpha(p) for p in (0.0, 0.05, 0.1, 0.2, 0.6, 1.0)] == pytest.approx(
        [0, 0.1875, 0.375, 0.75, 0.75, 0.75]
    )


@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_exactly_half_of_a_batch_is_hardened_to_each_class(shift: float) -> None:
    logits, targets, _ = rows(64)
    logits[:, 1] += shift
    objective = unguarded()
    objective.start(targets, torch.ones(64))
    hard = objective.harden(logits)
    assert hard.sum() == 32
    margin = (logits[:, 1] - logits[:, 0]).numpy()
    assert margin[hard == 1].min() > margin[hard == 0].max()


@pytest.mark.parametrize("n", [63, 1, 2])
def test_over_odd_batches_the_halves_even_out(n: int) -> None:
    objective = unguarded()
    objective.start(rows(8)[1], torch.ones(8))
    hardened = [objective.harden(rows(n, seed=i)[0]) for i in range(10)]
    assert sum(int(h.sum()) for h in hardened) == 5 * n


def test_quotas_of_many_classes_are_those_of_the_weak_labels() -> None:
    logits, _, _ = rows(100, 4)
    targets = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).repeat(100, 1)
    objective = unguarded()
    objective.start(targets, torch.ones(100))
    assert np.bincount(objective.harden(logits)).tolist() == [50, 30, 15, 5]


def test_a_rare_class_gets_its_rows_over_many_small_batches() -> None:
    targets = torch.tensor([[0.98, 0.01, 0.01]]).repeat(8, 1)
    objective = unguarded()
    objective.start(targets, torch.ones(8))
    counts = sum(np.bincount(objective.harden(rows(8, 3, i)[0]), minlength=3) for i in range(100))
    assert np.abs(np.asarray(counts) - [784, 8, 8]).max() <= 1


def test_hardening_maximises_the_total_log_probability_under_the_quotas() -> None:
    from itertools import permutations

    logp = torch.log_softmax(rows(6, 3)[0].double(), 1).numpy()
    counts = np.array([3, 1, 2])
    candidates = {tuple(p) for p in permutations([0, 0, 0, 1, 2, 2])}
    best = max(candidates, key=lambda labels: sum(logp[i, k] for i, k in enumerate(labels)))
    assert tuple(assign(logp, counts)) == best


def test_two_classes_are_split_as_the_general_assignment_would() -> None:
    from scipy.optimize import linear_sum_assignment

    logp = torch.log_softmax(rows(20)[0].double(), 1).numpy()
    columns = np.repeat([0, 1], [13, 7])
    _, chosen = linear_sum_assignment(logp[:, columns], maximize=True)
    assert assign(logp, np.array([13, 7])).tolist() == columns[chosen].tolist()


def test_streaming_meets_the_quota_over_micro_batches_of_one() -> None:
    targets = rows(8)[1]
    objective = unguarded(threshold="streaming", window=64)
    objective.start(targets, torch.ones(8))
    logits = rows(400)[0]
    logits[:, 1] += 3  # the student finds nearly everything positive
    hard = np.concatenate([objective.harden(one[None]) for one in logits])
    assert hard[64:].mean() == pytest.approx(0.5, abs=0.05)


def test_a_streaming_window_does_not_grow() -> None:
    objective = unguarded(threshold="streaming", window=16)
    objective.start(rows(8)[1], torch.ones(8))
    for i in range(10):
        objective.harden(rows(8, seed=i)[0])
    assert objective._seen is not None and len(objective._seen) == 16


RANK = """
import sys, torch, numpy as np
from superalign.weak_to_strong.models.losses import Confidence
rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if world > 1:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
objective = Confidence(threshold="streaming", window=24, guard=False)
objective.start(torch.full((4, 2), 0.5), torch.ones(4))
said = []
for step in range(6):
    logits = torch.randn(7, 2, generator=torch.Generator().manual_seed(step)) + torch.tensor([0.0, step])
    mine = logits if world == 1 else (logits[:4], logits[4:])[rank]
    said.append(objective.harden(mine))
np.save(f"{folder}/{world}-{rank}.npy", np.concatenate(said))
if world > 1:
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


def test_processes_harden_as_one_that_sees_everything(tmp_path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(world), str(tmp_path)])
        for rank, world in ((0, 1), (0, 2), (1, 2))
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    alone = np.load(tmp_path / "1-0.npy").reshape(6, 7)
    first, second = (np.load(tmp_path / f"2-{rank}.npy").reshape(6, -1) for rank in (0, 1))
    assert np.hstack([first, second]).tolist() == alone.tolist()


def test_product_aims_at_the_renormalised_product() -> None:
    logits, targets, _ = rows(5, 3)
    made = torch.softmax(logits, 1) * targets
    torch.testing.assert_close(Product().aim(logits, targets, 0.3), made / made.sum(1, keepdim=True))


def test_product_accepts_certain_labels() -> None:
    aim = Product().aim(torch.zeros(2, 2), torch.eye(2), 0.0)
    torch.testing.assert_close(aim, torch.eye(2))


def test_the_guard_is_silent_for_a_student_better_than_its_supervisor() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 1000)
    weak = np.where(rng.random(1000) < 0.8, truth, 1 - truth)
    guard = CollapseGuard()
    guard.start(np.array([0.5, 0.5]), expected_accuracy=0.8)
    assert [guard.observe(truth[i : i + 50], weak[i : i + 50]) for i in range(0, 1000, 50)] == [None] * 20


def test_the_guard_notices_a_student_that_left_the_labels() -> None:
    rng = np.random.default_rng(0)
    guard = CollapseGuard()
    guard.start(np.array([0.5, 0.5]), expected_accuracy=0.8)
    assert "agrees with 0.5" in (guard.observe(rng.integers(0, 2, 500), rng.integers(0, 2, 500)) or "")
    assert guard.fired


def test_the_guard_notices_a_student_that_says_one_thing_only() -> None:
    weak = np.arange(500) % 5 // 2 % 2  # 40 % ones
    guard = CollapseGuard()
    guard.start(np.array([0.6, 0.4]), expected_accuracy=0.6)
    assert "0.40 in total variation" in (guard.observe(np.zeros(500, dtype=np.int64), weak) or "")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha_max": 1.5}, "alpha=1.5"),
        ({"threshold": "median"}, "threshold=median is unknown; give batch or streaming"),
        ({"quotas": [0.5, 0.2]}, r"quotas=\[0.5, 0.2\]"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        unguarded(**settings)


def test_one_quota_per_class_is_needed() -> None:
    objective = unguarded(quotas=[0.5, 0.5])
    with pytest.raises(UserError, match="2 quotas for 3 classes"):
        objective.start(rows(4, 3)[1], torch.ones(4))
