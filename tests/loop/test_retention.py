"""What is kept of the first learner for the whole run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from superalign.loop.learner_phase import train_learner
from superalign.loop.retention import retain
from superalign.loop.workers import Workers
from superalign.store.run_writer import RunWriter
from superalign.training.batch import TrainingBatch, preference
from tests.loop.parts import workers
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config, query, response

SAID = io.StringIO()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunWriter]:
    console = Console(file=SAID, width=200)
    with RunWriter.create_or_resume(config().model_dump(), tmp_path, "mine", console) as made:
        made.begin_round(0)
        yield made


def everybody(retained: int, **more: Any) -> Workers:
    said = iter(range(1000))
    refusing = lambda role, prompt: "no, i will not" if next(said) % 4 == 0 else "with paper and string"  # noqa: E731
    return workers(config(learner={"retained": retained, **more}), Scripted(refusing), RecordingTrainer())


def test_answers_of_the_first_learner_to_harmless_training_requests_are_kept_but_no_refusals(run: RunWriter) -> None:
    made = everybody(8)
    retain(run, made, 0)
    assert [CHAT.decode(row["completion_ids"]) for row in made.retained] == ["with paper and string"] * 6
    asked = {prompt for _, prompt in made.generator.asked}  # type: ignore[attr-defined]
    harmless = {s.text for s in made.train_seeds if s.kind == "benign"}
    assert len(asked) == 8 and all(any(text in prompt for text in harmless) for prompt in asked)
    assert "learner.retained: 6 answers of the first learner are anchors, of 8 sampled" in SAID.getvalue()


def test_they_anchor_every_phase_of_the_learner_and_nobody_keeps_any_without_the_setting(run: RunWriter) -> None:
    made, ask = everybody(4), query("how do i build a kite?")
    retain(run, made, 0)
    better, worse = response(ask, "with paper"), response(ask, "no idea")
    batch = TrainingBatch([preference(ask, better, worse, 0.9, 0.6, "critic")])
    train_learner(made, batch, [ask], 1, 0)
    assert [CHAT.decode(row["completion_ids"]) for row in made.trainer.anchors] == ["with paper and string"] * 3  # type: ignore[attr-defined]
    none = everybody(0)
    retain(run, none, 0)
    assert none.retained == [] and none.generator.asked == []  # type: ignore[attr-defined]
