"""Preference files as they are published: read as TRL reads them, or refused in one line."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.data.preferences import PairSet, read_pairs
from superalign.errors import UserError
from superalign.models import load_chat
from superalign.prompts.library import respond
from tests.inputs.files import jsonl, parquet_bytes, table, write

COUNT = 60
ASKED = "what is word number {} for, in full?"
GOOD, BAD = "a long answer about {}", "none"


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def talk(*contents: str) -> list[dict[str, str]]:
    return [turn("assistant" if n % 2 else "user", content) for n, content in enumerate(contents)]


def transcript(*contents: str) -> str:
    return "".join(f"\n\n{'Assistant' if n % 2 else 'Human'}: {content}" for n, content in enumerate(contents))


FORMS: dict[str, Callable[[str, str, str], dict[str, Any]]] = {
    "prompt, chosen, rejected": lambda q, a, b: {"prompt": q, "chosen": a, "rejected": b},
    "other capitals": lambda q, a, b: {"Prompt": q, "Chosen": a, "Rejected": b},
    "messages": lambda q, a, b: {
        "prompt": talk(q),
        "chosen": [turn("assistant", a)],
        "rejected": [turn("assistant", b)],
    },
    "an implicit prompt of messages": lambda q, a, b: {"chosen": talk(q, a), "rejected": talk(q, b)},
    "an implicit prompt of transcripts": lambda q, a, b: {
        "chosen": transcript(q, a),
        "rejected": transcript(q, b),
    },
    "a prompt as transcript": lambda q, a, b: {
        "prompt": transcript(q, "").rstrip() + " ",
        "chosen": f" {a}",
        "rejected": f" {b}",
    },
    "UltraFeedback": lambda q, a, b: {
        "prompt": q,
        "prompt_id": q,
        "chosen": talk(q, a),
        "rejected": talk(q, b),
        "messages": talk(q, a),
        "score_chosen": 8.0,
        "score_rejected": 4.0,
    },
    "StackExchange": lambda q, a, b: {"qid": 1, "question": q, "response_j": a, "response_k": b},
    "Orca": lambda q, a, b: {"system": None, "question": q, "chosen": a, "rejected": b},
    "distilabel": lambda q, a, b: {"instruction": q, "chosen_response": a, "rejected_response": b},
}


def rows(form: Callable[[str, str, str], dict[str, Any]], count: int = COUNT) -> list[dict[str, Any]]:
    return [form(ASKED.format(n), GOOD.format(n), BAD) for n in range(count)]


def read(folder: Path, content: str | bytes, name: str = "a.jsonl", **data: Any) -> PairSet:
    source = write(folder, name, content)
    return read_pairs(Config.model_validate({"recipe": "reward_model", "data": {"source": source, **data}}))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_pairs_are_read_from(form: Callable[[str, str, str], dict[str, Any]], tmp_path: Path) -> None:
    expected = [(ASKED.format(n), GOOD.format(n), BAD) for n in range(COUNT)]
    found = read(tmp_path, jsonl(rows(form)))
    assert [pair.texts for pair in found.pairs] == expected
    assert [pair.texts for pair in read(tmp_path, parquet_bytes(rows(form)), "a.parquet").pairs] == expected
    lines = "\n".join(found.summary.lines())
    assert "60 rows: 60 pairs, 60 different prompts" in lines and "word number" not in lines


def test_the_common_beginning_is_the_prompt_turn_by_turn_and_not_letter_by_letter(tmp_path: Path) -> None:
    both = [
        {"chosen": transcript(ASKED.format(n), "I can help"), "rejected": transcript(ASKED.format(n), "I cannot help")}
        for n in range(COUNT)
    ]
    assert read(tmp_path, jsonl(both)).pairs[0].texts == (ASKED.format(0), "I can help", "I cannot help")


def test_a_dialogue_is_asked_as_a_whole_by_the_reward_model(tmp_path: Path) -> None:
    dialogue = [turn("system", "be brief"), *talk("hello", "which word?", "the second one, {}")]
    many = [
        {
            "prompt": [m | {"content": m["content"].format(n)} for m in dialogue],
            "chosen": [turn("assistant", GOOD)],
            "rejected": [turn("assistant", BAD)],
        }
        for n in range(COUNT)
    ]
    found = read(tmp_path, jsonl(many))
    asked = respond(found.pairs[0].prompt)
    assert asked == talk("be brief\n\nhello", "which word?", "the second one, 0")
    assert "  system turns put before the first request: 60" in found.summary.lines()
    from superalign.config.sections import LoraConfig
    from superalign.training.reward import RewardModel

    model, chat = RewardModel("testbed-small", LoraConfig(), 1), load_chat("testbed-small")
    assert model.ids(found.pairs[0].prompt, BAD)[: len(chat.prompt_ids(asked, 64))] == chat.prompt_ids(asked, 64)


def test_columns_can_be_named_and_several_make_the_prompt(tmp_path: Path) -> None:
    many = [{"head": "answer", "q": ASKED.format(n), "good": "x", "bad": "y"} for n in range(COUNT)]
    columns = {"prompt": ["head", "q"], "chosen": "good", "rejected": "bad"}
    found = read(tmp_path, table(many, ";"), "a.csv", columns=columns)
    assert found.pairs[0].texts == (f"answer\n\n{ASKED.format(0)}", "x", "y")


def test_pairs_that_teach_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    plain = FORMS["prompt, chosen, rejected"]
    many = [
        *rows(plain),
        *rows(plain, 3),
        plain("q", "same", "same "),
        plain("q", "x", ""),
        plain(" ", "x", "y"),
        {"prompt": "q", "chosen": talk("q", "x"), "rejected": talk("q", "x")},
        {"prompt": None, "chosen": talk("q", "x", "r", "y"), "rejected": talk("q", "x", "s", "z")},
        {},
    ]
    found = read(tmp_path, jsonl(many))
    assert len(found.pairs) == COUNT
    assert found.summary.left_out == {
        "given before": 3,
        "with equal answers": 2,
        "without an answer": 1,
        "without a prompt": 1,
        "whose dialogues differ before the last answer": 1,
        "empty": 1,
    }


def test_a_score_that_contradicts_the_label_is_told(tmp_path: Path) -> None:
    many = [{**row, "score_chosen": n % 3, "score_rejected": 1} for n, row in enumerate(rows(FORMS["messages"]))]
    found = read(tmp_path, jsonl(many))
    assert len(found.pairs) == COUNT
    assert "  pairs whose chosen answer has the lower score, taken as they are labelled: 20" in found.summary.lines()


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "no column of answers": (
        [{"prompt": "q", "better": "x", "rejected": "y"}],
        "{path} line 1: no column 'chosen' for chosen; set data.columns.chosen= to one of prompt, better, rejected "
        "that holds the better answer",
    ),
    "no prompt anywhere": (
        [{"ask": "q", "chosen": "x", "rejected": "y"}],
        "{path} line 1: no column of prompts, and chosen and rejected are no dialogues, which would begin with one; "
        "set data.columns.prompt= to one of ask, chosen, rejected",
    ),
    "answers that are numbers": (
        [{"prompt": "q", "chosen": 3, "rejected": "y"}],
        "{path} line 1: column 'chosen' holds no text and no messages",
    ),
    "equal answers everywhere": (
        [{"prompt": f"q {n}", "chosen": "x", "rejected": "x"} for n in range(40)],
        "data={path}: 0 pairs to train on, at least 8 are needed (of 40 rows are left out: 40 with equal answers)",
    ),
}


@pytest.mark.parametrize(("given", "line"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(given: list[dict[str, Any]], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read(tmp_path, jsonl(given))
    assert str(refused.value) == line.format(path=tmp_path / "a.jsonl")


def test_prompts_that_are_near_duplicates_are_one_cluster_on_one_side(tmp_path: Path) -> None:
    rng = random.Random(0)
    asked = [f"what is {' '.join(''.join(rng.choices('abdegiklmnoprstu', k=6)) for _ in range(5))}" for _ in range(60)]
    many = [
        {"prompt": wording.format(text), "chosen": text, "rejected": "y"}
        for text in asked
        for wording in ("{}", "{}?", "please, {}")
    ]
    found = read(tmp_path, jsonl(many))
    sides: dict[str, set[tuple[str, bool]]] = {}
    for pair in found.pairs:
        sides.setdefault(pair.chosen, set()).add((pair.cluster, pair.heldout))
    assert all(len(each) == 1 for each in sides.values()) and len(found.pairs) == 180
