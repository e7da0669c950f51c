"""KTO on single answers with soft labels."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.roles.learner import Learner
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
