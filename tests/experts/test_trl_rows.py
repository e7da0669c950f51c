"""Labels as data sets for TRL: its own checks read them, and so does our reward model's reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from datasets import load_dataset
from trl.data_utils import apply_chat_template, is_conversational

from superalign.commands import experts
from superalign.config.schema import Config
from superalign.data.preferences import load_pairs
from superalign.experts.formats import EXPORTS, IMPORTS
from superalign.experts.queue import ExpertQueue
from superalign.experts.trl_rows import export_labels
from superalign.models import load_chat
from tests.experts.test_queue import item, pair


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    """Two pairs decided either way, two points, a tie, a split vote, an open item and a gold item."""
    queue = ExpertQueue(tmp_path / "q.sqlite")
    split = item(6, votes=2)
    queue.push([item(1), item(2), pair(3), pair(4), item(5), split, item(7), replace(pair(8), gold=1.0)], 1, 20)
    answers = {"item001": 1.0, "item002": 0.0, "item003": 1.0, "item004": 0.0, "item005": 0.5, "item008": 1.0}
    by_id = {one.id: one for one in queue.items()}
    queue.record([(name, "ann", by_id[name].as_shown(value)) for name, value in answers.items()])
    queue.record([("item006", "ann", 1.0), ("item006", "bob", 0.0)])
    return queue


def test_what_was_decided_becomes_preferences_and_single_answers(queue: ExpertQueue, tmp_path: Path) -> None:
    assert export_labels(queue, tmp_path / "trl") == 4
    pairs = load_dataset("json", data_files=str(tmp_path / "trl/pair.jsonl"), split="train", cache_dir=str(tmp_path))
    points = load_dataset("json", data_files=str(tmp_path / "trl/point.jsonl"), split="train", cache_dir=str(tmp_path))
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in pairs] == [
        ("answer 3", "other 3"), ("other 4", "answer 4")
    ]  # fmt: skip
    assert [(row["completion"][0]["content"], row["label"]) for row in points] == [
        ("answer 1", True),
        ("answer 2", False),
    ]
    provenance = {name: points[0][name] for name in ("item_id", "round", "pi", "annotators", "simulated")}
    assert provenance == {"item_id": "item001", "round": 1, "pi": 0.25, "annotators": ["ann"], "simulated": False}
    tokenizer = load_chat("testbed").tokenizer
    for row in (pairs[0], points[0]):
        assert is_conversational(row)
        texts = apply_chat_template(row, tokenizer)
        assert "question" in texts["prompt"]
        assert all("answer" in texts[name] for name in ("chosen", "completion") if name in texts)


def test_a_reward_model_can_learn_from_them(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([pair(number) for number in range(40)], 1, 40)
    queue.record([(one.id, "ann", one.as_shown(1.0)) for one in queue.items()])
    export_labels(queue, tmp_path / "trl")
    settings = Config.model_validate({"recipe": "reward_model", "data": {"source": str(tmp_path / "trl/pair.jsonl")}})
    found = load_pairs(settings)
    assert len(found) == 40
    assert all(one.chosen.startswith("answer") and one.rejected.startswith("other") for one in found)


def test_all_formats_have_a_name() -> None:
    assert list(EXPORTS) == ["jsonl", "argilla", "label-studio", "trl"]
    assert list(IMPORTS) == ["jsonl", "argilla", "label-studio"]
    assert (tuple(EXPORTS), tuple(IMPORTS)) == (experts.EXPORTS, experts.IMPORTS), "as the command line offers them"
