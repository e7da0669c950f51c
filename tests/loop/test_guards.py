"""Guards: what a rollback restores, and that guards have requests of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.errors import UserError
from superalign.evaluation.harness import build_set
from superalign.loop.guards import roll_back, unreported
from superalign.prompts import library
from superalign.roles.judge import frozen_critic
from superalign.testbed.world import seeds
from tests.roles.parts import CHAT, RecordingTrainer, Scripted, config
from tests.training.phases import SFT, sft


def step(trainer: RecordingTrainer, role: str, seed: int) -> None:
    row = {
        "prompt_ids": CHAT.prompt_ids(library.respond("how do i build a kite?")),
        "completion_ids": CHAT.closed(CHAT.encode("Sure.")),
        "weight": 1.0,
    }
    trainer.train(role, SFT, [row], sft(), seed=seed)


def everything(trainer: RecordingTrainer, role: str, folder: Path) -> tuple[dict[str, Any], Any]:
    trainer.save(folder)
    return trainer.adapter(role), torch.load(folder / role / "optimizer.pt", weights_only=True)["state"]


def test_a_rollback_restores_weights_and_optimizer_under_a_new_version_and_leaves_others_alone(tmp_path: Path) -> None:
    trainer = RecordingTrainer()
    step(trainer, "learner", 0)
    step(trainer, "critic", 0)
    kept, memory = everything(trainer, "learner", tmp_path / "committed")
    step(trainer, "learner", 1)
    step(trainer, "critic", 1)
    other, other_memory = everything(trainer, "critic", tmp_path / "now")

    assert roll_back(trainer, "learner", tmp_path / "committed", tmp_path / "scratch") == 3
    assert [trainer.version(role) for role in ("learner", "critic", "attacker")] == [3, 2, 0]
    for role, tensors, state in (("learner", kept, memory), ("critic", other, other_memory)):
        found, optimizer = everything(trainer, role, tmp_path / "after")
        assert all(np.array_equal(found[name], tensor) for name, tensor in tensors.items())
        assert str(optimizer) == str(state)
    assert not (tmp_path / "scratch").exists()


def test_training_goes_on_from_a_rollback_as_if_the_bad_update_had_never_been(tmp_path: Path) -> None:
    straight, detour = RecordingTrainer(), RecordingTrainer()
    for trainer in (straight, detour):
        step(trainer, "learner", 0)
        trainer.save(tmp_path / "committed")
    step(detour, "learner", 1)
    roll_back(detour, "learner", tmp_path / "committed", tmp_path / "scratch")
    for trainer in (straight, detour):
        step(trainer, "learner", 2)
    wanted, found = straight.adapter("learner"), detour.adapter("learner")
    assert all(np.array_equal(found[name], tensor) for name, tensor in wanted.items())
    assert (straight.version("learner"), detour.version("learner")) == (2, 4)


def test_guards_without_requests_of_their_own_are_refused() -> None:
    given = {"guards": {"enabled": True}, "data": {"limit": 60}}
    judge = frozen_critic(config(), Scripted())
    assert all(unreported(config(**given), judge))
    with pytest.raises(UserError, match=r"too few are there to keep some for guards .* give more benign seeds"):
        unreported(config(**given | {"data": {"limit": 14}}), judge)


@pytest.mark.parametrize("factor", [1, 3])
def test_guards_ask_nothing_about_a_seed_that_a_report_asks_about_or_training_knows(factor: int) -> None:
    """Under another attack family a request is another query, but not another request."""
    settings, judge = config(guards={"enabled": True}), frozen_critic(config(), Scripted())
    pool = seeds(settings.seed)
    report = build_set(settings, pool, judge, factor)
    reported = {q.seed_id for q in (*report.benign, *report.lookalikes)}
    lookalikes, benign = unreported(settings, judge)
    assert (len(lookalikes), len(benign)) == (96, 96)
    asked = {q.seed_id for q in (*lookalikes, *benign)}
    assert asked and not asked & reported
    assert not asked & {s.id for s in pool if s.split == "train"}


def test_without_guards_the_report_asks_about_every_seed() -> None:
    judge, pool = frozen_critic(config(), Scripted()), seeds(0)
    report = build_set(config(), pool, judge, 3)
    eligible = {s.id for s in pool if s.split == "eval" and s.kind == "benign"}
    assert {q.seed_id for q in (*report.benign, *report.lookalikes)} == eligible
