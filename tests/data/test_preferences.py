"""Preference pairs: from the testbed with known mistakes, from files with every mistake named by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.data.preferences import PreferencePair, load_pairs
from superalign.errors import UserError
from superalign.testbed import oracle


def settings(**sections: Any) -> Config:
    return Config.model_validate({"recipe": "reward_model", **sections})


def wrong(pairs: list[PreferencePair]) -> float:
    return sum(oracle.score(p.prompt, p.chosen) < oracle.score(p.prompt, p.rejected) for p in pairs) / len(pairs)


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"question {i}", "chosen": "yes", "rejected": "no", **changes} for i in range(count)]


def test_the_testbeds_pairs_are_ordered_by_the_oracle_and_flipped_only_where_they_train() -> None:
    pairs = load_pairs(settings(reward={"pairs": 800, "flips": 0.2}))
    training, heldout = ([p for p in pairs if p.heldout == held] for held in (False, True))
    assert wrong(heldout) == 0 and 0.15 < wrong(training) < 0.25
    assert not {p.cluster for p in training} & {p.cluster for p in heldout}
    assert wrong(load_pairs(settings(reward={"pairs": 200, "flips": 0.0}))) == 0


def test_a_file_is_split_by_prompt_and_messages_count_by_their_last(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "hm"}, {"role": "assistant", "content": "yes"}]
    both = [*rows(60, chosen=talk), *rows(60, chosen="sure"), *rows(3, rejected="yes")]
    pairs = load_pairs(settings(data={"source": written(tmp_path, both)}))
    assert {p.chosen for p in pairs} == {"yes", "sure"} and len(pairs) == 120  # equal answers are no pair
    assert len({(p.prompt, p.heldout) for p in pairs}) == 60
    assert 0.1 < sum(p.heldout for p in pairs) / 120 < 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chosen": 3}, "line 1: column 'chosen' holds no text and no messages"),
        ({"chosen": " "}, "0 pairs to train on, at least 8 are needed .of 20 rows are left out: 20 without an answer"),
    ],
)
def test_a_row_without_text_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_pairs(settings(data={"source": written(tmp_path, rows(20, **changes))}))


def test_unknown_columns_and_too_few_pairs_are_named(tmp_path: Path) -> None:
    source = written(tmp_path, rows(9))
    with pytest.raises(UserError, match=r"unknown key data\.columns\.choosen; did you mean chosen"):
        load_pairs(settings(data={"source": source, "columns": {"choosen": "a"}}))
    with pytest.raises(UserError, match="at least 8 are needed"):
        load_pairs(settings(data={"source": source}))


@pytest.mark.parametrize(("fits", "message"), [(True, "left to score"), (False, "left to fit the temperature on")])
def test_held_out_prompts_that_are_all_of_one_half_are_one_clear_line(tmp_path: Path, fits: bool, message: str) -> None:
    every = load_pairs(settings(data={"source": written(tmp_path, rows(300))}))
    kept = [p for p in every if not p.heldout or p.fits == fits]
    given = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in kept]
    with pytest.raises(UserError, match=f"no held-out prompt is {message}; give more prompts"):
        load_pairs(settings(data={"source": written(tmp_path, given)}))
