"""A batch over several workers: each runs the model on its share of the rows, and all see what comes of all rows.

Every worker reads the same rows in the same order and computes the loss of the whole batch, from the log-probabilities
of its own share and those that the others send it. Only the own share carries gradients, so that the sum over workers
of a parameter's gradients is the gradient of the whole batch, whatever the form of the loss: weighted means, means over
all tokens, reference points and log-sum-exps over the batch need nothing of their own. Adapters and their optimizers
are on every worker and stay the same; the frozen base can be sharded.

Workers are the processes of torch.distributed's default group; without one there is one worker, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from peft import PeftModel
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from superalign.models import device


def count() -> int:
    """How many workers there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def first() -> bool:
    """Whether this is the worker that writes what all have."""
    return count() == 1 or distributed.get_rank() == 0


def share(rows: torch.Tensor) -> torch.Tensor:
    """This worker's rows, [ceil(rows / workers), ..]: an equal share, for which the last row may come again."""
    if count() == 1:
        return rows
    size = -(-len(rows) // count())
    mine = torch.arange(size, device=rows.device) + size * distributed.get_rank()
    return rows[mine.clamp(max=len(rows) - 1)]


def whole(own: torch.Tensor, rows: int) -> torch.Tensor:
    """What all workers have computed of their shares, [rows, ..]; gradients flow into this worker's `own` alone."""
    if count() == 1:
        return own
    sent = own.detach().contiguous()
    parts = [torch.empty_like(sent) for _ in range(count())]
    distributed.all_gather(parts, sent)
    parts[distributed.get_rank()] = own
    return torch.cat(parts)[:rows]


def add_up(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients of replicated parameters by their sums over workers."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if count() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient))


class WholeBatch:
    """Mixed into a trainer whose `compute_loss` is of the whole batch: so are then its gradients."""

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Loss and gradients of a batch."""
        loss: torch.Tensor = super().training_step(model, *args, **kwargs)  # type: ignore[misc]
        add_up(model.parameters())
        return loss


def place(model: PeftModel, shard: bool) -> None:
    """Put a model on this worker's device.

    With `shard` each of several workers holds its part of every tensor of the frozen base (FSDP2), and the
    adapters in full. A block's tensors are put together when it is their turn, and dropped again.
    """
    if shard and count() > 1:
        mesh = init_device_mesh(device(), (count(),))
        adapters = {parameter for parameter in model.parameters() if parameter.requires_grad}
        base = model.get_base_model()
        blocks = [module for module in base.modules() if type(module).__name__ in (base._no_split_modules or ())]
        for part in (*blocks, model):
            fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=adapters)
    model.to(device())
