"""Tasks from files: read through the column map, or refused with the place of the mistake."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from superalign.errors import UserError
from superalign.prompts.refusal import is_refusal
from superalign.weak_to_strong.base import Task, Text
from superalign.weak_to_strong.tasks.registry import load_task

DATA = Path(os.environ.get("SUPERALIGN_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
N = 60


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def texts(task: Task) -> tuple[Text, ...]:
    assert not isinstance(task.rows.inputs, np.ndarray)
    return task.rows.inputs


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Loads a task from rows: `load(name, rows, **settings)`."""
    return lambda name, rows, **settings: load_task(name, write(tmp_path / "rows.jsonl", rows), **settings)


@pytest.fixture
def shared() -> Any:
    """Loads a task from a shared file (skips where it is not there)."""

    def load(name: str, file: str, **settings: Any) -> Task:
        if not (DATA / file).is_file():
            pytest.skip(f"{DATA / file} is not here")
        return load_task(name, str(DATA / file), **settings)

    return load


def safety_rows(n: int = N) -> list[dict[str, Any]]:
    return [{"prompt": f"ask {i}", "response": f"say {i}", "label": ("safe", "unsafe")[i % 2]} for i in range(n)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_format_gives_the_same_task_through_the_column_map(suffix: str, tmp_path: Path) -> None:
    rows = [{"q": r["prompt"], "a": r["response"], "bad": i % 2} for i, r in enumerate(safety_rows())]
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        path.write_text("q,a,bad\n" + "".join(f"{r['q']},{r['a']},{r['bad']}\n" for r in rows))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    columns = {"prompt": "q", "response": "a", "label": "bad"}
    made = load_task("safety", str(path), columns)
    same = load_task("safety", write(tmp_path / "a.jsonl", safety_rows()))
    assert made.rows == same.rows
    assert (made.labels == same.labels).all()


def test_a_question_becomes_a_right_and_a_wrong_row_in_one_group(load: Any) -> None:
    rows = [{"question": f"q{i}", "answer": f"r{i}", "distractor": [f"w{i}", f"v{i}"]} for i in range(N)]
    task = load("qa", rows)
    assert Counter(task.labels.tolist()) == {0: N, 1: N}
    for text, group, label in zip(texts(task), task.rows.groups, task.labels, strict=True):
        assert text.prompt == group and text.response[0] in ("r" if label else "wv")
    assert load("qa", rows).rows == task.rows
    assert load("qa", rows, seed=1).rows != task.rows


def test_distractors_may_have_columns_of_their_own_and_equal_to_the_answer_they_are_left_out(load: Any) -> None:
    rows = [{"question": f"q{i}", "answer": 7, "distractor1": "7", "distractor2": 8} for i in range(N)]
    task = load("qa", rows)
    assert {(t.response, int(y)) for t, y in zip(texts(task), task.labels, strict=True)} == {("7", 1), ("8", 0)}


def test_answers_may_come_already_judged(load: Any) -> None:
    rows = [{"text": f"q{i // 2}", "response": f"a{i}", "label": i % 2} for i in range(N)]
    task = load("qa", rows)
    assert task.labels.tolist() == [0, 1] * (N // 2) and len(set(task.rows.groups)) == N // 2


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("qa", {"question": "q{i}", "answer": "r", "distractor": "w"}),
        ("qa", {"text": "t{i}", "label": "{parity}"}),
        ("pairs", {"prompt": "p{i}", "chosen": "c", "rejected": "r"}),
    ],
)
def test_a_column_may_say_which_rows_are_a_group(name: str, row: dict[str, str], load: Any) -> None:
    def rows(**more: str) -> list[dict[str, str]]:
        filled = row | more
        return [{key: value.format(i=i, parity=i % 2, half=i // 2) for key, value in filled.items()} for i in range(N)]

    assert len(set(load(name, rows()).rows.groups)) == N
    assert set(load(name, rows(group="g{half}")).rows.groups) == {f"g{i}" for i in range(N // 2)}
    assert load(name, rows(part="g{half}"), columns={"group": "part"}).rows == load(name, rows(group="g{half}")).rows
    assert load(name, rows(group="")).rows == load(name, rows()).rows


def test_a_move_is_right_where_the_first_word_is_the_best_move(load: Any) -> None:
    rows = [{"fen": f"8/8/8/8/8/8/8/4K2k w - - 0 {i}", "best_move_uci": "e1e2"} for i in range(N)]
    task = load("chess", rows)
    assert task.targets == ("e1e2",) * N
    grades = [task.grade(task.rows.ids[0], said)["accuracy"] for said in ("e1e2", " e1e2 wins", "e2", "e1e2e3", "")]
    assert grades == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"fen": "nothing", "best_move_uci": "e1e2"}, "line 1: column 'fen' holds no position"),
        ({"fen": "8/8/8/8/8/8/8/4K2k w", "best_move_uci": "Ke2"}, "line 1: column 'best_move_uci' holds no move"),
    ],
)
def test_what_is_no_position_or_move_is_told(row: dict[str, str], told: str, load: Any) -> None:
    with pytest.raises(UserError, match=told):
        load("chess", [row])


def test_the_order_of_pairs_is_drawn_and_equal_pairs_are_skipped(load: Any) -> None:
    rows = [{"prompt": f"ask {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(N)]
    task = load("pairs", [*rows, {"prompt": "ask", "chosen": "same", "rejected": "same"}])
    assert Counter(task.labels.tolist()) == {0: N // 2, 1: N // 2}
    assert not isinstance(task.rows.seconds, np.ndarray) and task.rows.seconds is not None
    for first, second, label in zip(texts(task), task.rows.seconds, task.labels, strict=True):
        assert (first if label else second).response.startswith("good")
    assert (load("pairs", rows, seed=1).labels != task.labels).any()


def test_a_column_that_says_safe_is_read_as_it_says(load: Any) -> None:
    rows = [{"prompt": f"ask {i}", "is_safe": bool(i % 2)} for i in range(N)]
    task = load("safety", rows, columns={"label": "is_safe"})
    assert task.labels.tolist() == [1, 0] * (N // 2)
    assert {text.response for text in texts(task)} == {""}


def test_a_supervisor_of_refusals_is_never_trained_to_comply_with_harm(load: Any) -> None:
    rows = [{"prompt": f"ask {i}", "label": i % 2, "target": "Sure, here it is."} for i in range(N)]
    task = load("refusal", rows)
    for target, harmful in zip(task.targets, task.labels, strict=True):
        assert is_refusal(target) == bool(harmful)


def test_refusals_are_graded_by_what_the_prompt_is(load: Any) -> None:
    task = load("refusal", [{"prompt": f"ask {i}", "label": ("benign", "harmful")[i % 2]} for i in range(N)])
    benign, harmful = task.rows.ids[:2]
    assert task.grade(benign, "Sure.") == {"accuracy": 1, "over_refusal": 0}
    assert task.grade(benign, "I cannot help with that.") == {"accuracy": 0, "over_refusal": 1}
    assert task.grade(harmful, "Sure.") == {"accuracy": 0, "harm": 1}
    assert task.grade(harmful, "I cannot help with that.") == {"accuracy": 1, "harm": 0}


def test_continuations_are_graded_by_a_scorer_that_saw_none_of_their_texts(load: Any) -> None:
    rows = [
        {"text": f"number {i} begins like this {('fine and lovely', 'awful and nasty')[i % 2]} w{i}", "label": i % 2}
        for i in range(400)
    ]
    task = load("continuation", rows)
    assert 200 < len(task.rows) < 320
    assert all(text.prompt.startswith("number") and len(text.prompt.split()) == 4 for text in texts(task))
    assert all("lovely" in target for target in task.targets)
    first = task.rows.ids[0]
    assert task.grade(first, "this is lovely")["accuracy"] == 1
    assert task.grade(first, "this is nasty")["accuracy"] == 0
    vocabulary = task.grade.args[1]._model[0].vocabulary_
    assert not {f"w{text.prompt.split()[1]}" for text in texts(task)} & set(vocabulary)


def test_hypotheses_of_one_document_are_one_group(load: Any) -> None:
    labels = ("Entailment", "contradiction", "NotMentioned")
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": labels[i % 3], "doc_id": i // 6} for i in range(N)]
    task = load("nli", rows)
    assert task.labels.tolist() == [0, 1, 2] * (N // 3)
    assert len(set(task.rows.groups)) == N // 6
    for row in rows:
        del row["doc_id"]
    assert set(load("nli", rows).rows.groups) == {f"p{i}" for i in range(N)}


def test_the_values_of_the_label_are_the_classes_of_clauses(load: Any) -> None:
    task = load("clauses", [{"text": f"t{i}", "label": f"type {i % 5}"} for i in range(N)])
    assert task.classes == tuple(f"type {i}" for i in range(5))
    assert task.labels.tolist() == [i % 5 for i in range(N)]


def test_segments_of_one_question_are_one_group(load: Any) -> None:
    rows = [{"question": f"q{i // 4}", "text": f"t{i}", "label": ("Relevant", "Irrelevant")[i % 2]} for i in range(N)]
    task = load("policy", rows)
    assert task.labels.tolist() == [1, 0] * (N // 2) and len(set(task.rows.groups)) == N // 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": None}, "line 3: column 'label' is empty"),
        ({"label": float("nan")}, "line 3: column 'label' is empty"),
        ({"label": "  "}, "line 3: column 'label' is empty"),
        ({"label": "odd"}, "line 3: label 'odd' is unknown; it should be 0/benign/false/no/safe or"),
        ({"label": "w" * 99}, "line 3: label of 99 characters is unknown"),
        ({"prompt": ""}, "line 3: column 'prompt' is empty"),
        ({"prompt": ["a", "b"]}, "line 3: column 'prompt' holds no text"),
    ],
)
def test_a_wrong_value_is_told_with_its_line(change: dict[str, Any], told: str, load: Any) -> None:
    rows = safety_rows()
    rows[2] |= change
    with pytest.raises(UserError, match=told):
        load("safety", rows)


def test_an_unknown_label_that_is_a_text_is_not_shown(load: Any) -> None:
    with pytest.raises(UserError) as refused:
        load("safety", safety_rows(), columns={"label": "response"})
    rows = [row | {"response": "some words that nobody should see"} for row in safety_rows()]
    with pytest.raises(UserError) as hidden:
        load("safety", rows, columns={"label": "response"})
    assert "say 0" in str(refused.value)
    assert "nobody" not in str(hidden.value)


def test_a_missing_column_is_told_with_those_that_there_are(load: Any) -> None:
    with pytest.raises(UserError, match=r"line 1: no column 'text' for text; set data\.columns\.text= to .* prompt, "):
        load("toxicity", safety_rows())


def test_a_named_column_must_be_there_even_where_it_is_optional(load: Any) -> None:
    with pytest.raises(UserError, match=r"no column 'answer' for response; set data\.columns\.response="):
        load("safety", safety_rows(), columns={"response": "answer"})


def test_an_unknown_field_of_the_column_map_is_told(load: Any) -> None:
    with pytest.raises(UserError, match=r"unknown key data\.columns\.respons; did you mean response\?"):
        load("safety", safety_rows(), columns={"respons": "a"})


def test_an_empty_file_is_told(load: Any) -> None:
    with pytest.raises(UserError, match="task safety finds no rows in it"):
        load("safety", [])


def test_a_line_that_is_not_json_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "label": 0}\n{oops\n')
    with pytest.raises(UserError, match=r"rows\.jsonl line 2 is not JSON"):
        load_task("safety", str(path))


def test_a_source_that_is_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.source=rows\.doc: should be testbed, hub:NAME, a folder, or a file "):
        load_task("safety", "rows.doc")
    with pytest.raises(UserError, match=r"data\.source=.*none\.csv: no such file"):
        load_task("safety", str(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("name", "file", "columns", "rows", "classes"),
    [
        ("qa", "qa_sciq.jsonl", {"distractor": "random_wrong"}, 27_000, 2),
        ("chess", "chess_puzzles.jsonl", {}, 6_000, 1),
        ("pairs", "pref_hh_harmless_test.jsonl", {}, 3_900, 2),
        ("safety", "safety_diasafety.jsonl", {}, 11_000, 2),
        ("refusal", "xstest_prompts.jsonl", {}, 400, 2),
        ("toxicity", "toxicity_davidson.jsonl", {}, 8_000, 2),
        ("continuation", "toxicity_davidson.jsonl", {}, 5_400, 2),
        ("nli", "legal_contractnli.jsonl", {}, 3_000, 3),
        ("clauses", "legal_cuad_clauses.jsonl", {}, 4_400, 37),
    ],
)
def test_real_data_is_read(name: str, file: str, columns: dict[str, str], rows: int, classes: int, shared: Any) -> None:
    task = shared(name, file, columns=columns)
    # Plain numbers, for a failure must not print the rows.
    count, different, named = len(task.rows), len(set(task.rows.ids)), len(task.classes)
    shares = np.bincount(task.labels) / count
    assert rows <= count == different < 1.1 * rows
    assert len(shares) == named == classes
    if classes == 2:
        assert shares.max() <= 0.55
