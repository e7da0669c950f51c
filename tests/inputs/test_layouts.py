"""Public data sets are known by their columns; where they do not say harmful or benign, nobody guesses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from superalign.config.sections import DataConfig
from superalign.data.seeds import SeedSet, read_seeds
from superalign.errors import UserError
from tests.inputs.files import BENIGN, HARMFUL, Row, jsonl, table, write


class Known(NamedTuple):
    """A file of a data set: its columns as published, and what each of its rows becomes."""

    file: str
    rows: list[Row]
    told: str
    kinds: list[str]
    texts: list[str] = [*HARMFUL]  # noqa: RUF012
    category: str = "general"
    lookalikes: int = 0


ALL_HARMFUL, ALL_BENIGN = ["harmful"] * 6, ["benign"] * 6
NUMBERED = list(enumerate(HARMFUL))


def jbb(texts: tuple[str, ...]) -> list[Row]:
    return [
        {"Index": n, "Goal": text, "Target": "Sure", "Behavior": f"b{n}", "Category": "Privacy", "Source": "Original"}
        for n, text in enumerate(texts)
    ]


KNOWN = {
    "AdvBench": Known(
        "harmful_behaviors.csv",
        [{"goal": text, "target": "Sure, here is"} for text in HARMFUL],
        "known as AdvBench: text from goal, all harmful",
        ALL_HARMFUL,
    ),
    "HarmBench": Known(
        "harmbench_behaviors_text_all.csv",
        [
            {
                "Behavior": text,
                "FunctionalCategory": "contextual" if n % 2 else "standard",
                "SemanticCategory": "illegal",
                "Tags": "",
                "ContextString": 'a "first" line\nand a second' if n % 2 else "",
                "BehaviorID": f"b_{n}",
            }
            for n, text in NUMBERED
        ],
        "known as HarmBench: text from ContextString and Behavior, all harmful",
        ALL_HARMFUL,
        [f'a "first" line\nand a second\n\n{text}' if n % 2 else text for n, text in NUMBERED],
        "illegal",
    ),
    "JailbreakBench": Known(
        "harmful-behaviors.csv",
        jbb(HARMFUL),
        "known as JailbreakBench: text from Goal, all harmful",
        ALL_HARMFUL,
        category="Privacy",
    ),
    "JailbreakBench, benign": Known(
        "benign-behaviors.csv",
        jbb(BENIGN),
        "known as JailbreakBench: text from Goal, all benign",
        ALL_BENIGN,
        [*BENIGN],
        "Privacy",
        6,
    ),
    "StrongREJECT": Known(
        "strongreject_dataset.csv",
        [{"category": "Privacy", "source": "custom", "forbidden_prompt": text} for text in HARMFUL],
        "known as StrongREJECT: text from forbidden_prompt, all harmful",
        ALL_HARMFUL,
        category="Privacy",
    ),
    "XSTest": Known(
        "xstest_prompts.csv",
        [
            *({"id": n, "prompt": t, "type": "definitions", "label": "safe"} for n, t in enumerate(BENIGN)),
            *({"id": n + 9, "prompt": t, "type": "contrast_definitions", "label": "unsafe"} for n, t in NUMBERED),
        ],
        "known as XSTest: text from prompt, kind from label",
        [*ALL_BENIGN, *ALL_HARMFUL],
        [*BENIGN, *HARMFUL],
        "definitions",
        6,
    ),
    "XSTest without labels": Known(
        "xstest_v2_prompts.csv",
        [
            *({"id": f"v2-{n}", "type": "homonyms", "prompt": t, "focus": "x"} for n, t in enumerate(BENIGN)),
            *({"id": f"v2-{n + 9}", "type": "contrast_discr", "prompt": t, "focus": "x"} for n, t in NUMBERED),
        ],
        "known as XSTest, its first edition: text from prompt, kind from type",
        [*ALL_BENIGN, *ALL_HARMFUL],
        [*BENIGN, *HARMFUL],
        "homonyms",
        6,
    ),
    "WildJailbreak": Known(
        "train.tsv",
        [
            *(
                {"vanilla": t, "adversarial": "", "completion": "x", "data_type": "vanilla_harmful"}
                for t in HARMFUL[:3]
            ),
            *(
                {"vanilla": "x", "adversarial": t, "completion": "x", "data_type": "adversarial_benign"}
                for t in BENIGN[:3]
            ),
        ],
        "known as WildJailbreak: text from adversarial and vanilla, kind from data_type",
        ["harmful"] * 3 + ["benign"] * 3,
        [*HARMFUL[:3], *BENIGN[:3]],
    ),
    "WildGuardMix": Known(
        "wildguard_train.jsonl",
        [
            {"prompt": t, "adversarial": False, "response": None, "prompt_harm_label": kind, "subcategory": "privacy"}
            for t, kind in ((HARMFUL[0], "harmful"), (BENIGN[0], "unharmful"))
        ],
        "known as WildGuardMix: text from prompt, kind from prompt_harm_label",
        ["harmful", "benign"],
        [HARMFUL[0], BENIGN[0]],
        "privacy",
    ),
    "OR-Bench": Known(
        "or-bench-hard-1k.csv",
        [{"prompt": text, "category": "privacy"} for text in BENIGN],
        "known as OR-Bench: text from prompt, all benign",
        ALL_BENIGN,
        [*BENIGN],
        "privacy",
        6,
    ),
    "OR-Bench, toxic": Known(
        "or_bench_toxic.csv",
        [{"prompt": text, "category": "privacy"} for text in HARMFUL],
        "known as OR-Bench: text from prompt, all harmful",
        ALL_HARMFUL,
        category="privacy",
    ),
}


def read(folder: Path, file: str, rows: list[Row], **settings: Any) -> SeedSet:
    delimiter = "\t" if file.endswith(".tsv") else ","
    content = jsonl(rows) if file.endswith(".jsonl") else table(rows, delimiter)
    return read_seeds(DataConfig(seeds=write(folder, file, content), **settings), 0)


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_the_columns_tell(known: Known, tmp_path: Path) -> None:
    found = read(tmp_path, known.file, known.rows)
    assert [(seed.text, seed.kind) for seed in found.seeds] == list(zip(known.texts, known.kinds, strict=True))
    assert f"  {known.told}" in found.summary.lines()
    assert found.seeds[0].category == known.category
    assert sum(seed.lookalike for seed in found.seeds) == known.lookalikes


def talk(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


TOLD_NOTHING: dict[str, list[Row]] = {
    "Alpaca": [{"instruction": "answer", "input": text, "output": "x"} for text in BENIGN],
    "preferences with an implicit prompt (HH-RLHF, TRL)": [
        {"chosen": f"\n\nHuman: {text}\n\nAssistant: I can", "rejected": f"\n\nHuman: {text}\n\nAssistant: I will"}
        for text in BENIGN
    ],
    "UltraFeedback": [
        {"prompt": t, "chosen": [talk("user", t)], "rejected": [talk("user", t)], "score_chosen": 1.0} for t in BENIGN
    ],
    "preferences (TRL)": [{"prompt": t, "chosen": "x", "rejected": "y"} for t in BENIGN],
    "completions (TRL)": [{"prompt": t, "completion": "x", "label": n % 2 == 0} for n, t in enumerate(BENIGN)],
    "BeaverTails": [{"prompt": t, "response": "x", "is_safe": True} for t in BENIGN],
}


@pytest.mark.parametrize(("name", "rows"), TOLD_NOTHING.items(), ids=TOLD_NOTHING)
def test_what_does_not_say_harmful_or_benign_needs_a_kind(name: str, rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read(tmp_path, "a.jsonl", rows)
    assert str(refused.value) == (
        f"{tmp_path / 'a.jsonl'} line 1: its layout ({name}) does not say which requests are harmful; set "
        f"data.kind=harmful or benign for all rows, or data.columns.kind= to one of {', '.join(rows[0])}"
    )
    found = read(tmp_path, "a.jsonl", rows, kind="benign")
    assert [seed.text.removeprefix("answer\n\n") for seed in found.seeds] == list(BENIGN)
    assert Counter(seed.kind for seed in found.seeds) == {"benign": 6}


def test_jailbreakbench_by_another_name_does_not_say_which_half_it_is(tmp_path: Path) -> None:
    for file in ("jbb.csv", "benign-and-harmful.csv", "harmful/jbb.csv"):
        with pytest.raises(UserError, match=r"its layout \(JailbreakBench\) does not say which requests are harmful"):
            read(tmp_path, file, jbb(HARMFUL))


def test_columns_of_the_settings_are_joined_and_win_over_the_layout(tmp_path: Path) -> None:
    known = KNOWN["HarmBench"]
    found = read(tmp_path, known.file, known.rows, columns={"text": ["SemanticCategory", "Behavior"]})
    assert [seed.text for seed in found.seeds] == [f"illegal\n\n{text}" for text in HARMFUL]
    assert "  known as HarmBench: text from SemanticCategory and Behavior, all harmful" in found.summary.lines()
    assert {seed.kind for seed in read(tmp_path, known.file, known.rows, kind="benign").seeds} == {"benign"}


def test_a_request_after_earlier_turns_carries_them(tmp_path: Path) -> None:
    from superalign.prompts.library import respond

    turns = [talk("user", "hello"), talk("assistant", "what is it?")]
    rows = [{"messages": [*turns, talk("user", text)], "kind": "harmful"} for text in HARMFUL]
    found = read(tmp_path, "a.jsonl", rows)
    assert respond(found.seeds[0].text) == [*turns, talk("user", HARMFUL[0])]
    assert "  requests after earlier turns, which they carry: 6" in found.summary.lines()
