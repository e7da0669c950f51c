"""People in the loop: labels given while nobody waits teach the next round, gold items teach nobody."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from superalign.experts.queue import ExpertQueue
from superalign.records import ExpertLabel, Judgement, Preference
from superalign.store.folder import RunFolder
from superalign.store.lineage import lineage
from superalign.store.tables import read_records
from tests.e2e.test_selfplay import adapters, train

PEOPLE = ("cluster=inline", "expert.source=queue", "expert.gold_share=0.25", "expert.double_share=0")


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds in which nobody ever answered."""
    root = tmp_path_factory.mktemp("runs")
    assert train(root, "unanswered", *PEOPLE, "rounds=2") == 0
    return root / "unanswered"


def test_nobody_is_waited_for_and_the_report_says_that_nothing_is_measured(unanswered: Path) -> None:
    with closing(ExpertQueue(unanswered / "experts.sqlite")) as queue:
        assert {item.round for item in queue.items()} == {1, 2}
        gold_items = [item for item in queue.items(1) if item.gold is not None]
        assert len(gold_items) <= 3 and 0 < len(queue.items(1)) <= 12
        assert all(item.blind and item.kind == "pair" for item in gold_items)
    assert "items wait, and none is answered yet" in (unanswered / "report.html").read_text()


def test_labels_given_after_a_round_are_in_the_next_rounds_training_set(unanswered: Path, tmp_path: Path) -> None:
    assert train(tmp_path, "answered", *PEOPLE, "rounds=1") == 0
    run = tmp_path / "answered"
    with closing(ExpertQueue(run / "experts.sqlite")) as queue:
        asked = queue.items(1)
        while leased := queue.claim("ann", 60):
            # What contradicts a sure critic is believed by nobody alone, and teaches the learner nothing.
            alone = leased.item.as_shown(float(leased.item.kind == "pair" and leased.item.p > 0.5))
            if leased.item.blind:
                queue.answer_alone(leased.token, alone)
            queue.submit(leased.token, alone, seconds=3.0)
    assert train(tmp_path, "answered", *PEOPLE, "rounds=2") == 0
    labels = {number: read_records(run / f"rounds/000{number}", "labels", ExpertLabel) for number in (1, 2)}
    assert labels[1] == []
    assert {label.item_id for label in labels[2]} == {item.id for item in asked if item.gold is None}
    assert {(label.annotator, label.round, label.simulated) for label in labels[2]} == {("ann", 1, False)}
    judged = {one.id for one in read_records(run / "rounds/0001", "judgements", Judgement)}
    assert {label.item_id for label in labels[2]} <= judged, "each label leads back to what it is about"
    pairs = {item.id: item for item in asked if item.kind == "pair" and item.gold is None}
    taught = [p for p in read_records(run / "rounds/0002", "preferences", Preference) if p.source == "expert"]
    best_first = {(i.first_id, i.second_id) if i.p > 0.5 else (i.second_id, i.first_id) for i in pairs.values()}
    assert taught and {(p.chosen_id, p.rejected_id) for p in taught} == best_first
    came_from = lineage(RunFolder(run), taught[0].id).came_from
    assert [label.annotator for label in came_from.labels if label.kind == "pair"] == ["ann"]
    assert len(came_from.queries) == 1
    assert {r.id for r in came_from.responses} == {taught[0].chosen_id, taught[0].rejected_id}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[2]["train"]["critic"]["expert_rows"] > rows[1]["train"]["critic"]["expert_rows"] == 0
    assert rows[2]["counts"]["expert_labels"] == len(labels[2])
    assert adapters(run, 1) == adapters(unanswered, 1)
    critic = "critic/adapter_model.safetensors"
    assert adapters(run, 2)[critic] != adapters(unanswered, 2)[critic]
    assert f"{len(asked)} labels on" in (run / "report.html").read_text()
