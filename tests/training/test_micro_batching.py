"""Micro-batches: the same losses and gradients in the memory of a few rows."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch

from tests.training.parts import CASES, CLOSE, WatchedService, apart, rows
from tests.training.phases import SFT, sft

ROLES = ("trained", "fresh")


@pytest.mark.parametrize("name", CASES)
def test_every_algorithm_in_micro_batches_has_the_losses_and_gradients_of_whole_batches(name: str) -> None:
    algorithm, *args = CASES[name]
    whole, micro = WatchedService(ROLES), WatchedService(ROLES, micro_batch=2)
    assert micro.losses(algorithm, "trained", *args) == pytest.approx(
        whole.losses(algorithm, "trained", *args), **CLOSE
    )
    assert max(whole.rows()) > 2 >= max(micro.rows())
    assert apart(whole.adapter("trained"), micro.adapter("trained"), whole.adapter("fresh")) < 1e-3


def test_the_mismatch_is_the_same_in_micro_batches() -> None:
    found = [WatchedService(ROLES, micro_batch=size).mismatch("trained", rows(7)) for size in (None, 2)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def kept(micro_batch: int | None) -> int:
    """Bytes of activations within the layers that are alive at once, at most, while a batch of 12 rows is learned."""
    service, alive, most = WatchedService(ROLES, micro_batch=micro_batch), [], 0

    def note(module: Any, given: Any, output: Any) -> None:
        nonlocal alive, most
        if isinstance(output, torch.Tensor) and output.requires_grad:
            alive = [one for one in alive if one() is not None] + [weakref.ref(output)]
            most = max(most, sum(one().nbytes for one in alive if one() is not None))

    (model,) = service._models.values()
    for layer in model.get_base_model().model.layers:
        for module in layer.modules():
            module.register_forward_hook(note)
    batch = [row | {"completion_ids": row["completion_ids"][:1] * 30} for row in rows(12)]
    service.train("trained", SFT, batch, sft(batch_size=12))
    return most


def test_activations_are_kept_of_one_micro_batch_at_a_time() -> None:
    assert kept(2) < kept(None) / 4
