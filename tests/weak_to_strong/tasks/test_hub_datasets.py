"""Hub datasets of known columns: rows of their shape become rows of a task's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.weak_to_strong.protocol import parts_of
from superalign.weak_to_strong.tasks import texts
from superalign.weak_to_strong.tasks.hub_datasets import PRESETS
from superalign.weak_to_strong.tasks.registry import load_task, make_task

CHOICES = {"text": ["w", "r"], "label": ["A", "B"]}
CHOSEN = {"question": "q", "answer": "r", "distractor": ["w"]}
SENTENCE = ({"sentence": "s", "label": 1, "idx": 0}, {"text": "s", "label": 1})
SCENARIO = ({"scenario": "s", "label": 0}, {"text": "s", "label": 0})
OPENBOOK = ({"question_stem": "q", "choices": CHOICES, "answerKey": "B"}, CHOSEN)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "allenai/sciq": (
        {"question": "q", "correct_answer": "r", "distractor1": "a", "distractor2": "b", "distractor3": "c"},
        {"question": "q", "answer": "r", "distractor": ["a", "b", "c"]},
    ),
    "google/boolq": ({"passage": "p", "question": "q", "answer": True}, {"text": "p\nq?", "label": 1, "group": "p"}),
    "Rowan/hellaswag": ({"ctx": "q", "endings": ["w", "r"], "label": "1"}, CHOSEN),
    "allenai/openbookqa": OPENBOOK,
    "allenai/openbookqa/main": OPENBOOK,
    "allenai/openbookqa/additional": OPENBOOK,
    "ybisk/piqa": ({"goal": "q", "sol1": "r", "sol2": "w", "label": 0}, CHOSEN),
    "allenai/social_i_qa": (
        {"context": "c", "question": "q", "answerA": "w", "answerB": "r", "answerC": "v", "label": "2"},
        {"question": "c q", "answer": "r", "distractor": ["w", "v"], "group": "c"},
    ),
    "allenai/cosmos_qa": (
        {"context": "c", "question": "q", **{f"answer{i}": str(i) for i in range(4)}, "label": 2},
        {"question": "c q", "answer": "2", "distractor": ["0", "1", "3"], "group": "c"},
    ),
    "dataset-org/dream": (
        {"dialogue": ["W: hi", "M: ho"], "question": "q", "choice": ["w", "r"], "answer": "r"},
        {"question": "W: hi\nM: ho\nq", "answer": "r", "distractor": ["w"], "group": "W: hi\nM: ho"},
    ),
    "textmachinelab/quail": (
        {"context": "c", "question": "q", "answers": ["r", "w"], "correct_answer_id": 0},
        {"question": "c q", "answer": "r", "distractor": ["w"], "group": "c"},
    ),
    "allenai/quartz": (
        {"para": "p", "question": "q", "choices": CHOICES, "answerKey": "B"},
        {"question": "p q", "answer": "r", "distractor": ["w"], "group": "p"},
    ),
    "google-research-datasets/paws/labeled_final": (
        {"sentence1": "a", "sentence2": "b", "label": 1},
        {"text": "a", "response": "b", "label": 1},
    ),
    "nyu-mll/glue/cola": SENTENCE,
    "nyu-mll/glue/sst2": SENTENCE,
    "stanfordnlp/sst2": SENTENCE,
    "aps/super_glue/boolq": (
        {"passage": "p", "question": "q", "label": 0},
        {"text": "p\nq?", "label": 0, "group": "p"},
    ),
    "aps/super_glue/wic": (
        {"word": "w", "sentence1": "a", "sentence2": "b", "label": 1},
        {"text": "w: a", "response": "b", "label": 1},
    ),
    "aps/super_glue/multirc": (
        {"paragraph": "p", "question": "q", "answer": "a", "label": 1},
        {"text": "p q", "response": "a", "label": 1, "group": "p"},
    ),
    "CogComp/mc_taco": (
        {"sentence": "s", "question": "q", "answer": "a", "label": 0},
        {"text": "s q", "response": "a", "label": 0, "group": "s"},
    ),
    "hendrycks/ethics/commonsense": ({"input": "s", "label": 1}, {"text": "s", "label": 1}),
    "hendrycks/ethics/justice": SCENARIO,
    "hendrycks/ethics/virtue": SCENARIO,
    "hendrycks/ethics/deontology": (
        {"scenario": "s", "excuse": "e", "label": 1},
        {"text": "s", "response": "e", "label": 1},
    ),
    "hendrycks/ethics/utilitarianism": (
        {"baseline": "b", "less_pleasant": "l"},
        {"prompt": "Which is more pleasant?", "chosen": "b", "rejected": "l", "group": "b"},
    ),
    "fancyzhx/amazon_polarity": ({"title": "t", "content": "c", "label": 1}, {"text": "t\nc", "label": 1}),
    "facebook/anli": (
        {"premise": "p", "hypothesis": "h", "label": 1},
        {"premise": "p", "hypothesis": "h", "label": "neutral"},
    ),
    "Anthropic/hh-rlhf": (
        {"chosen": "\n\nHuman: hi\n\nAssistant: yes", "rejected": "\n\nHuman: hi\n\nAssistant: no"},
        {"prompt": "hi", "chosen": " yes", "rejected": " no"},
    ),
    "PKU-Alignment/BeaverTails": (
        {"prompt": "p", "response": "r", "is_safe": False},
        {"prompt": "p", "response": "r", "label": 1},
    ),
    "google/civil_comments": ({"text": "t", "toxicity": 0.7}, {"text": "t", "label": 1}),
    "allenai/real-toxicity-prompts": (
        {"prompt": {"text": "a"}, "continuation": {"text": " b", "toxicity": 0.1}},
        {"text": "a b", "label": 0},
    ),
    "nguha/legalbench/privacy_policy_qa": (
        {"question": "q", "text": "t", "answer": "Relevant"},
        {"question": "q", "text": "t", "label": "Relevant"},
    ),
    "coastalcph/lex_glue/ledgar": ({"text": "t", "label": 7}, {"text": "t", "label": 7}),
}


def test_every_preset_has_a_row_of_its_shape_here() -> None:
    assert set(CASES) == set(PRESETS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_row_becomes_a_row_of_the_tasks_file(name: str) -> None:
    row, expected = CASES[name]
    assert PRESETS[name].rows("row 1", row) == [expected]
    task = make_task(PRESETS[name].task)
    assert isinstance(task, texts.TextTask) and set(expected) <= set(task.fields)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("Rowan/hellaswag", {"ctx": "q", "endings": ["a", "b"], "label": ""}),
        ("nyu-mll/glue/cola", {"sentence": "s", "label": -1}),
        ("ybisk/piqa", {"goal": "q", "sol1": "a", "sol2": "b", "label": -1}),
        ("allenai/openbookqa", {"question_stem": "q", "choices": CHOICES, "answerKey": ""}),
        ("allenai/real-toxicity-prompts", {"prompt": {"text": "a"}, "continuation": {"text": "b", "toxicity": None}}),
    ],
)
def test_a_row_without_a_label_is_left_out(name: str, row: dict[str, Any]) -> None:
    assert PRESETS[name].rows("row 1", row) == []


def test_a_transcript_that_parts_before_the_last_turn_is_left_out() -> None:
    row = {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: x\n\nHuman: c\n\nAssistant: d",
    }
    assert PRESETS["Anthropic/hh-rlhf"].rows("row 1", row) == []


def test_other_columns_than_the_known_ones_are_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"row 3: the dataset has other columns .* to some of question, answer"):
        PRESETS["allenai/sciq"].rows("row 3", {"question": "q", "answer": "r"})


def hub_of(rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def read(source: str, hub_split: str, what: str, encoding: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((f"{source} row {number}", row) for number, row in enumerate(rows, start=1))

    monkeypatch.setattr(texts, "read_rows", read)


def test_a_hub_dataset_with_a_preset_needs_no_column_map(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_of([CASES["allenai/sciq"][0] | {"question": f"q{i}"} for i in range(30)], monkeypatch)
    task = load_task("qa", "hub:allenai/sciq")
    assert Counter(task.labels.tolist()) == {0: 30, 1: 30}
    assert set(Counter(task.rows.groups).values()) == {2}


@pytest.mark.parametrize(
    ("name", "passage"), [("textmachinelab/quail", "context"), ("aps/super_glue/multirc", "paragraph")]
)
def test_all_that_is_asked_about_one_passage_lies_in_one_part(
    name: str, passage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [{"question": f"q{i}", passage: f"p{i // 4}", "label": i % 2} for i in range(200)]
    hub_of([CASES[name][0] | row for row in asked], monkeypatch)
    task = load_task("qa", f"hub:{name}")
    assert len(set(task.rows.groups)) == 50 and len({text.prompt for text in task.rows.inputs}) == 200
    parts = [{task.rows.groups[i] for i in part} for part in parts_of(task, seed=0)]
    assert sum(map(len, parts)) == 50


def test_pairs_that_share_their_prompt_alone_can_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"baseline": f"good {i // 2}", "less_pleasant": f"bad {i}"} for i in range(200)]
    hub_of(rows, monkeypatch)
    task = load_task("pairs", "hub:hendrycks/ethics/utilitarianism")
    assert Counter(Counter(task.rows.groups).values()) == {2: 100}
    assert sum(len(part) for part in parts_of(task, seed=0)) == 200


def test_a_column_map_goes_before_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_of([CASES["allenai/sciq"][0] | {"question": f"q{i}"} for i in range(30)], monkeypatch)
    task = load_task("qa", "hub:allenai/sciq", {"answer": "correct_answer", "distractor1": "distractor3"})
    assert len(task.rows) == 60


def test_a_preset_of_another_task_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_of([CASES["allenai/sciq"][0]], monkeypatch)
    with pytest.raises(UserError, match="row 1: no column 'text' for text"):
        load_task("toxicity", "hub:allenai/sciq")


def test_a_configuration_of_a_hub_dataset_is_named_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*names: str, split: str) -> list[dict[str, Any]]:
        asked.append((*names, split))
        return [{"sentence": f"s{i}", "label": i % 2} for i in range(50)]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert len(load_task("qa", "hub:nyu-mll/glue/cola", hub_split="validation").rows) == 50
    assert asked == [("nyu-mll/glue", "cola", "validation")]
