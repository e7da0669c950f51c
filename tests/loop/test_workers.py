"""Workers: rounds have seeds of their own, and a sync is acknowledged or the run stops."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from superalign.config.compose import load
from superalign.errors import ActorLost, UserError
from superalign.generation.base import Tensors
from superalign.loop.workers import PACKAGES, Workers, stage_seed, versions
from superalign.runtime.cluster import InlineCluster
from superalign.store.run_writer import RunWriter
from superalign.training.algorithms.kto import KTO
from tests.loop.parts import workers
from tests.roles.parts import RecordingTrainer, Scripted, config, query, response
from tests.smallest import SMALL
from tests.training.phases import SFT, sft


class Stale(Scripted):
    """A generator that goes on serving what it had."""

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Acknowledge another version."""
        return version - 1


def test_every_round_has_a_seed_of_its_own_that_repeats() -> None:
    seeds = {stage_seed(run, number) for run in range(3) for number in range(8)}
    assert len(seeds) == 24
    assert stage_seed(1, 2) == stage_seed(1, 2)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_generator_that_serves_another_version_stops_the_run() -> None:
    workers(config(), Scripted(), RecordingTrainer()).sync("critic")
    with pytest.raises(RuntimeError, match="critic: the generator serves version -1, the trainer has 0"):
        workers(config(), Stale(), RecordingTrainer()).sync("critic")


def test_what_is_lost_is_made_anew_once_there_is_room_for_it() -> None:
    told: list[str] = []
    resources = SimpleNamespace(make_room=lambda: told.append("room"))
    cluster = SimpleNamespace(restart=lambda loss: told.append(loss.actor))
    workers(config(), Scripted(), cluster=cluster, resources=resources).restart(ActorLost("trainer-1", "died"))
    assert told == ["room", "trainer-1"]


def test_weights_that_were_written_on_another_node_alone_are_no_round(tmp_path: Path) -> None:
    elsewhere = SimpleNamespace(save=lambda folder: None)
    with pytest.raises(UserError, match=r"run\.root: .*attacker/adapter_model.safetensors, which is not here"):
        workers(config(), Scripted(), elsewhere).save(tmp_path)


def test_the_summary_names_the_versions_of_what_the_run_stands_on() -> None:
    assert set(versions()) == set(PACKAGES)
    assert all(versions().values())


def test_number_format_micro_batches_and_anchors_are_those_of_the_settings(tmp_path: Path) -> None:
    wanted = ("trainer.dtype=bfloat16", "trainer.micro_batch=3", "learner.anchors=7")
    settings = load([*SMALL, "model=testbed-small", *wanted, "cluster=inline"])
    with RunWriter.create_or_resume(settings.model_dump(), tmp_path, "tried", Console(file=io.StringIO())) as run:
        made = Workers.make(settings, run, InlineCluster())
    trainer: Any = made.trainer
    assert made.replay.most == 7
    assert {(model.dtype, model.micro_batch) for model in trainer._models.values()} == {(torch.bfloat16, 3)}


@pytest.mark.parametrize(("backend", "who"), [("hf", "generator"), ("vllm", "trainer")])
def test_hidden_states_are_the_engine_s_or_where_that_has_none_the_trainer_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, who: str
) -> None:
    given: list[Any] = []
    monkeypatch.setattr("superalign.loop.workers.spawn_generator", lambda *_: Scripted())
    monkeypatch.setattr("superalign.loop.workers.make_judge", lambda config, generator, states: given.append(states))
    monkeypatch.setattr("superalign.loop.workers.build_set", lambda *_: None)
    settings = load([*SMALL, "model=testbed-small", f"generator={backend}", "cluster=inline"])
    with RunWriter.create_or_resume(settings.model_dump(), tmp_path, "tried", Console(file=io.StringIO())) as run:
        made = Workers.make(settings, run, InlineCluster())
    assert given == [getattr(made, who)]


def test_before_anything_is_trained_a_run_says_and_keeps_what_it_understood_of_its_data(tmp_path: Path) -> None:
    rows = [{"prompt": f"how do i fold boat {n}?", "kind": "safe" if n % 2 else "unsafe"} for n in range(40)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"kind": "safe"}]))
    settings = load(
        [*SMALL, "model=testbed-small", f"data.seeds={tmp_path}/mine.jsonl", "expert.budget=0", "cluster=inline"]
    )
    told = io.StringIO()
    with RunWriter.create_or_resume(settings.model_dump(), tmp_path, "tried", Console(file=told, width=200)) as run:
        Workers.make(settings, run, InlineCluster())
        (kept,) = (event for event in run.events() if event["event"] == "data")
    assert "41 rows: 20 harmful, 20 benign; left out: 1 without a request" in told.getvalue()
    assert (kept["rows"], kept["counts"]) == (41, {"harmful": 20, "benign": 20})
    assert "boat" not in told.getvalue() and "boat" not in json.dumps(kept)


def test_the_seeds_of_a_round_are_half_harmful_and_those_of_the_next_are_others() -> None:
    made = workers(config(attacker={"seeds": 6}), Scripted())
    first, second = (made.draw_seeds(number) for number in (1, 2))
    assert [s.kind for s in first] == ["harmful", "benign"] * 3
    assert {s.split for s in first} == {"train"}
    assert not {s.id for s in first} & {s.id for s in second}
    assert first == made.draw_seeds(1)


def test_the_algorithm_is_that_of_the_settings() -> None:
    assert workers(config(learner={"algorithm": "kto"}), Scripted()).algorithm is KTO


def test_how_far_the_answering_policy_is_from_the_trained_one_is_drift_once_it_has_been_trained() -> None:
    trainer, ask = RecordingTrainer(), query("how do i build a kite for my aunt?")
    said = replace(response(ask, "Sure."), logprobs=(-1.0,) * len(response(ask, "Sure.").token_ids))
    made = workers(config(), Scripted(), trainer)
    assert made.policy_mismatch([]) == {"staleness": 0.0, "mismatch_kl": 0.0}
    assert made.policy_mismatch([said]).keys() == {"staleness", "mismatch_kl"}
    row = {"prompt_ids": list(said.prompt_ids), "completion_ids": list(said.token_ids), "weight": 1.0}
    trainer.train("learner", SFT, [row], sft())
    found = made.policy_mismatch([said])
    assert found["staleness"] == 1.0 and found["drift_kl"] > 0
