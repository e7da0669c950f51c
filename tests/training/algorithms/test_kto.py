"""KTO on single answers with soft labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.roles.learner import Learner
from superalign.training.algorithms.kto import collate
from superalign.training.rows import AnchorStream
from tests.roles.parts import RecordingTrainer, Scripted, config
from tests.training.algorithms.parts import scored_batch
from tests.training.phases import kto
from tests.training.tiny import answers, p_even, serving


def test_kto_learns_from_every_labelled_answer_the_surest_first() -> None:
    trainer = RecordingTrainer()
    settings = {"algorithm": "kto", "max_rows": 4}
    found = Learner(config(learner=settings), Scripted(), trainer).refine(scored_batch(), [], round=1, seed=0)
    assert [row["q"] for row in trainer.rows] == [0.95, 0.9, 0.2, 0.72]
    assert found["answers"] == 4 and trainer.version("learner") == 1


def test_kto_raises_accepted_answers_and_lowers_refused_ones(tiny_model: str) -> None:
    service, generator = serving(tiny_model)
    rows = [row | {"q": 0.95 if row["reward"] else 0.05, "w": 0.8} for row in answers(generator, 0)]
    before = p_even(generator)
    found = service.train("learner", "kto", rows, kto(learning_rate=5e-3, epochs=6, batch_size=8), rows[:2], 0)
    generator.load_adapter("learner", service.adapter("learner"), 1)
    assert p_even(generator) > before + 0.1
    assert found["first_loss"] == pytest.approx(0.8 * 0.5, abs=1e-3)  # policy = reference, without anchors


def test_labels_of_one_half_teach_nothing(tiny_model: str) -> None:
    """Under the soft label 1/2 KTO has no gradient at the reference."""
    service, generator = serving(tiny_model)
    before = service.adapter("learner")
    rows = [row | {"q": 0.5, "w": 1.0} for row in answers(generator, 0)]
    service.train("learner", "kto", rows, kto(learning_rate=1e-3, batch_size=len(rows)), [], 0)
    changed = max(float(np.abs(t - before[n]).max()) for n, t in service.adapter("learner").items())
    assert changed < 1e-6


def row(prompt: int, answer: int) -> dict[str, Any]:
    return {"prompt_ids": [prompt], "completion_ids": [answer, 1], "q": 0.9, "w": 0.5}


def mismatched(batch: list[dict[str, Any]], everything: list[dict[str, Any]]) -> list[list[int]]:
    """The prompt and the answer of each mismatched row of a batch."""
    found = collate(batch, AnchorStream([], 0, seed=0), everything)
    rows = found["input_ids"][len(batch) :].tolist()
    assert found["mismatched"] == len(rows)
    return [ids[:2] for ids in rows]


def test_mismatched_rows_are_prompts_with_the_next_rows_answer() -> None:
    batch = [row(10, 20), row(11, 21), row(12, 22)]
    assert mismatched(batch, batch) == [[10, 21], [11, 22], [12, 20]]


def test_a_batch_of_one_row_takes_its_mismatched_answer_from_the_other_rows_of_the_phase() -> None:
    everything = [row(10, 20), row(11, 21), row(12, 22)]
    assert [mismatched([one], everything) for one in everything] == [[[10, 21]], [[11, 22]], [[12, 20]]]


def test_batches_of_one_row_are_refused_when_they_are_asked_for() -> None:
    with pytest.raises(UserError, match=r"learner\.batch_size=1: should be greater than or equal to 2"):
        load(["learner=kto", "learner.batch_size=1"])


def test_the_same_answer_to_the_same_prompt_is_no_mismatch() -> None:
    assert mismatched([row(10, 20), row(10, 20), row(11, 21)], []) == [[10, 21], [10, 21], [11, 20]]
    assert mismatched([row(10, 20), row(10, 20)], [row(10, 20), row(12, 22), row(10, 20)]) == [[10, 22], [10, 22]]
    assert mismatched([row(10, 20), row(10, 21)], []) == [[10, 21], [10, 20]]


@pytest.mark.parametrize(("count", "steps"), [(1, 1), (9, 3)])
def test_the_reference_point_of_a_row_alone_is_no_gain_of_its_own(tiny_model: str, count: int, steps: int) -> None:
    """With itself for a mismatched answer, a row that has become likely would have h = z: a loss of 1/2 for good."""
    service, generator = serving(tiny_model)
    rows = [row | {"q": 1.0, "w": 1.0} for row in answers(generator, 0)[:count]]
    alone = service.train("learner", "kto", rows[:1], kto(learning_rate=2e-2, beta=1.0, epochs=8), [], 0)
    assert (alone["steps"], alone["reference_point"]) == (8, 0.0)
    assert alone["kto"] < 0.4
    found = service.train("learner", "kto", rows, kto(batch_size=4), [], 0)
    assert found["steps"] == steps and np.isfinite(found["loss"])
