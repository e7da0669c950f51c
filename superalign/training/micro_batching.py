"""A batch in parts: of few rows at a time the activations are kept, and computed again for the gradients.

The loss stays one of the whole batch, whatever its form, and so do its gradients; only memory and time differ: each
part is run twice (activation checkpointing, arXiv 1604.06174, with a part of the rows in place of a layer).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


def in_parts(model: Any, run: Callable[..., T], *tensors: torch.Tensor) -> list[T]:
    """What `run`, which calls the model, makes of the first `model.micro_batch` rows of tensors, of the next ones, ..

    Of all rows at once if there are no more, or the model has no such bound.
    """
    size = getattr(model, "micro_batch", None)
    if size is None or len(tensors[0]) <= size:
        return [run(*tensors)]
    parts = zip(*(tensor.split(size) for tensor in tensors), strict=True)
    if not torch.is_grad_enabled():
        return [run(*part) for part in parts]
    return [checkpoint(run, *part, use_reentrant=False) for part in parts]
