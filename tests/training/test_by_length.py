"""Large models on a CPU: rows of like length together, the output head at completions alone; losses stay the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from superalign.models import openings
from superalign.training.algorithms import dpo as dpo_module
from superalign.training.rows import pad_rows, token_logps
from tests.training.parts import CASES, CLOSE, WatchedService, apart, rows
from tests.training.phases import dpo

ROLES = ("trained", "fresh")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model counts as a large one."""
    monkeypatch.setattr(openings, "LARGE", 0)
    monkeypatch.setattr(openings, "CPU_PIECE", 24)


@pytest.mark.parametrize(
    ("name", "micro_batch"), [("cdpo", None), ("cdpo", 3), ("kto", None), ("sft", None), ("ppo", None)]
)
def test_an_algorithm_by_length_has_the_losses_and_gradients_of_whole_batches(
    name: str, micro_batch: int | None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    algorithm, *args = CASES[name]
    whole, by_length = WatchedService(ROLES), WatchedService(ROLES, micro_batch=micro_batch)
    expected = whole.losses(algorithm, "trained", *args)
    request.getfixturevalue("large")
    assert by_length.losses(algorithm, "trained", *args) == pytest.approx(expected, **CLOSE)
    assert apart(whole.adapter("trained"), by_length.adapter("trained"), whole.adapter("fresh")) < 1e-3


def test_the_output_head_of_a_large_model_reads_what_comes_before_completions_alone(large: None) -> None:
    service, read = WatchedService(ROLES), []
    (model,) = service._models.values()
    given = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in rows(6)])
    with service._placed(service._roles["trained"]):
        from trl.trainer import utils

        utils.add_fused_lm_head(model.get_base_model())
        head = utils._ChunkedLogProbFunction.apply
        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(
                utils._ChunkedLogProbFunction,
                "apply",
                lambda states, *rest: read.append(len(states)) or head(states, *rest),
            )
            token_logps(model, given)
    assert sum(read) == int(given["completion_mask"].sum()) and len(read) > 1


def steps_of_dpo(knows: bool) -> tuple[list[float], list[bool]]:
    """The losses of three passes over 9 pairs in batches of 4, and in which steps the reference was run."""
    service, ran, reference = WatchedService(ROLES), list[bool](), dpo_module.reference_logps

    def watched(trainer: Any, model: Any, inputs: Any, known: Any) -> torch.Tensor:
        service.rows()
        found = reference(trainer, model, inputs, known if knows else None)
        ran.append(bool(service.rows()))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dpo_module, "reference_logps", watched)
        return service.losses("dpo", "trained", rows(9), dpo(batch_size=4, epochs=3), (), 1), ran


def test_further_passes_of_dpo_know_the_reference_of_the_first(large: None) -> None:
    (expected, always), (found, ran) = steps_of_dpo(knows=False), steps_of_dpo(knows=True)
    assert found == pytest.approx(expected, **CLOSE)
    assert always == [True] * 9 and ran == [True] * 3 + [False] * 6
