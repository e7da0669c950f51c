"""Bases in bfloat16: every algorithm trains its adapters, which stay float32."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from superalign.errors import UserError
from tests.training.parts import CASES, WatchedService
from tests.training.tiny import same


def served(model: str) -> WatchedService:
    """A service whose base is in bfloat16."""
    try:
        return WatchedService(("trained", "fresh"), model=model, dtype="bfloat16")
    except UserError as error:
        pytest.skip(f"bfloat16 on this processor: {error}")


@pytest.mark.parametrize("name", CASES)
def test_every_algorithm_trains_on_a_base_in_bfloat16(tiny_model: str, name: str) -> None:
    algorithm, *args = CASES[name]
    service = served(tiny_model)
    exact = WatchedService(("trained",), model=tiny_model)
    found = service.losses(algorithm, "trained", *args)
    assert all(map(math.isfinite, found))
    # bfloat16 has 8 bits of precision: of log-probabilities about as large as 5.
    assert found[0] == pytest.approx(exact.losses(algorithm, "trained", *args)[0], rel=0.1, abs=0.1)
    adapter = service.adapter("trained")
    assert not same(adapter, service.adapter("fresh"))
    assert {tensor.dtype for tensor in adapter.values()} == {np.dtype("float32")}


def test_ppo_learns_values_in_float32_on_a_base_in_bfloat16(tiny_model: str) -> None:
    algorithm, *args = CASES["ppo"]
    service = served(tiny_model)
    service.train("trained", algorithm, *args)
    assert {tensor.dtype for tensor in service._roles["trained"].extra["head"].values()} == {torch.float32}
    again = service.train("trained", algorithm, *args)
    assert math.isfinite(again["value"]) and again["value"] > 0
