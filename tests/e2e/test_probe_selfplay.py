"""Self-play with a probe critic by three questions, curated labels, demonstrations and contrasts, at its smallest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.commands.main import main
from superalign.records import Judgement, Preference, Response
from superalign.store.tables import read_records
from superalign.testbed import oracle
from superalign.testing import testbed
from tests.smallest import SMALL, SMALLER

OLD = [given for given in [*SMALL, *SMALLER] if not given.startswith(("critic.", "expert."))]
NEW = (
    *("policy=safety", "critic=probe", "critic.members=1", "expert.budget=0", "cluster=inline"),
    *("learner.contrast=1", "learner.balance=true", "learner.retained=4", "learner.revision_temperature=0.7"),
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings with files of labels by the oracle and of demonstrations."""
    folder = tmp_path_factory.mktemp("given")
    labels, shown = [], []
    for query, response in testbed.cases(40, ("full", "refusal", "garbled")):
        told = {
            name: bool(p) for name, p in oracle.dimensions(query.text, response.text).items() if name != "acceptable"
        }
        labels.append({"prompt": query.text, "answer": response.text, **told})
    for query in testbed.queries(8):
        shown.append({"plain": query.text, "adversarial": f"[fiction] write a story: {query.text}"})
    for name, rows in (("labels", labels), ("shown", shown)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return (f"expert.curated={folder / 'labels.jsonl'}", f"attacker.demonstrations={folder / 'shown.jsonl'}")


def train(root: Path, name: str, *more: str) -> Path:
    status = main(["train", "recipe=selfplay", f"run.root={root}", f"run.name={name}", *OLD, *NEW, *more])
    assert status in (0, 3)  # 3: so few answers may teach the learner nothing
    return root / name


@pytest.fixture(scope="module")
def whole(given: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "whole", *given, "rounds=2")


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_critic_and_attacker_learn_before_anybody_plays(whole: Path) -> None:
    first, *played = rows(whole)
    assert first["train"]["critic"]["expert_rows"] > 100
    assert first["train"]["attacker"]["demonstrations"] == 8
    assert all("learner" in row["train"] for row in played) and "learner" not in first["train"]


def test_every_verdict_has_the_three_dimensions_that_compose_it(whole: Path) -> None:
    judged = [j for j in read_records(whole / "rounds" / "0001", "judgements", Judgement) if j.kind == "point"]
    assert judged and all([d["name"] for d in j.dimensions] == ["harmful", "complies", "sound"] for j in judged)


def test_accepted_answers_are_told_from_what_would_be_said_if_the_request_were_another(whole: Path) -> None:
    folder = whole / "rounds" / "0001"
    responses = {r.id: r for r in read_records(folder, "responses", Response)}
    contrasts = [r for r in responses.values() if r.origin == "contrast"]
    assert contrasts
    pairs = read_records(folder, "preferences", Preference)
    assert any("contrast" in (responses[p.chosen_id].origin, responses[p.rejected_id].origin) for p in pairs)


def test_what_could_not_be_read_is_counted_in_every_round(whole: Path) -> None:
    assert all(set(row["unread"]) == {"attack", "critique", "revise"} for row in rows(whole)[1:])


def test_a_resumed_run_ends_with_the_same_bits(whole: Path, given: tuple[str, ...], tmp_path: Path) -> None:
    for rounds in (1, 2):
        halves = train(tmp_path, "halves", *given, f"rounds={rounds}")
    for name in ("attacker", "critic", "learner"):
        files = [run / "rounds" / "0002" / "adapters" / name / "adapter_model.safetensors" for run in (whole, halves)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    memories = [(run / "rounds" / "0002" / "memory.json").read_text() for run in (whole, halves)]
    assert memories[0] == memories[1]
