"""A batch in parts: the same losses and gradients in the memory of a part."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch

from tests.training.parts import Bench, apart, rows
from tests.training.phases import SFT, sft
from tests.training.test_distributed import CASES, CLOSE

ROLES = ("trained", "fresh")


@pytest.mark.parametrize("name", CASES)
def test_every_phase_in_parts_has_the_losses_and_gradients_of_whole_batches(name: str) -> None:
    phase, *args = CASES[name]
    whole, parted = Bench(ROLES), Bench(ROLES, micro_batch=2)
    assert parted.losses(phase, "trained", *args) == pytest.approx(whole.losses(phase, "trained", *args), **CLOSE)
    assert max(whole.rows()) > 2 >= max(parted.rows())
    assert apart(whole.adapter("trained"), parted.adapter("trained"), whole.adapter("fresh")) < 1e-3


def test_the_mismatch_is_the_same_in_parts() -> None:
    found = [Bench(ROLES, micro_batch=size).mismatch("trained", rows(7)) for size in (None, 2)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def kept(micro_batch: int | None) -> int:
    """Bytes of activations within the layers that are alive at once, at most, while a batch of 12 rows is learned."""
    bench, alive, most = Bench(ROLES, micro_batch=micro_batch), [], 0

    def note(module: Any, given: Any, output: Any) -> None:
        nonlocal alive, most
        if isinstance(output, torch.Tensor) and output.requires_grad:
            alive = [one for one in alive if one() is not None] + [weakref.ref(output)]
            most = max(most, sum(one().nbytes for one in alive if one() is not None))

    (model,) = bench._models.values()
    for layer in model.get_base_model().model.layers:
        for module in layer.modules():
            module.register_forward_hook(note)
    batch = [row | {"completion_ids": row["completion_ids"][:1] * 30} for row in rows(12)]
    bench.train("trained", SFT, batch, sft(batch_size=12))
    return most


def test_activations_are_kept_of_one_part_at_a_time() -> None:
    assert kept(2) < kept(None) / 4
