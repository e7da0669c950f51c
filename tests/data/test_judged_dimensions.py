"""Verdicts by dimension: columns, words, how many people agree; and that nothing is guessed at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from superalign.data.judged_dimensions import read_judged_dimensions
from superalign.errors import UserError
from superalign.prompts.policy import Dimension, Policy
from tests.data.test_judged_answers import file
from tests.experts.policies import shipped

DATA = Path(os.environ.get("SUPERALIGN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
OWN = Policy(
    name="own",
    dimensions={
        "kind": Dimension(of="answer", question="?", if_yes="gentle", if_no="rude"),
        "true": Dimension(of="answer", question="?"),
    },
    acceptable="kind and true",
)


def read(folder: Path, *rows: dict[str, Any], policy: Policy | None = None) -> list[dict[str, float]]:
    said = [{"prompt": "q", "response": "a"} | row for row in rows]
    found = read_judged_dimensions(file(folder, *said), "expert.curated", policy or shipped())
    return [{**row.p, **({} if row.acceptable is None else {"acceptable": row.acceptable})} for row in found]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"complies": True, "sound": 0}, {"complies": 1.0, "sound": 0.0}),
        ({"refused": True}, {"complies": 0.0}),
        ({"refusal": "compliance", "refusal_agreement": 2.0}, {"complies": 2 / 3}),
        ({"refusal": "refusal", "refusal_agreement": "3"}, {"complies": 0.0}),
        ({"harmful": "harmful", "harmful_agreement": 0.8}, {"harmful": 0.8}),
        ({"harmful": "no", "harmful_agreement": 4, "annotators": 5}, {"harmful": pytest.approx(0.2)}),
        ({"harmful": "no", "harmful_agreement": 3, "harmful_annotators": 4, "annotators": 9}, {"harmful": 0.25}),
        ({"harmful": 0.25, "sound": "0.5"}, {"harmful": 0.25, "sound": 0.5}),
        ({"complies": "declines", "sound": "of no use"}, {"complies": 0.0, "sound": 0.0}),  # words of the policy
        ({"sound": True, "acceptable": "unsafe"}, {"sound": 1.0, "acceptable": 0.0}),
        # As `read_judged_answers` composes it: P(harm) P(refuses) + P(no harm) P(complies).
        (
            {"prompt_harm": "harmful", "prompt_harm_agreement": 2, "refusal": "refusal", "refusal_agreement": 3},
            {"harmful": 2 / 3, "complies": 0.0, "acceptable": 2 / 3},
        ),
    ],
)
def test_a_dimension_is_told_by_its_column_and_by_how_many_people_agree(
    tmp_path: Path, row: dict[str, Any], found: dict[str, float]
) -> None:
    assert read(tmp_path, row) == [found]


def test_every_dimension_of_ones_own_policy_is_found_under_its_name(tmp_path: Path) -> None:
    row = {"kind": "gentle", "true": "no", "prompt_harm": "harmful", "refusal": "refusal"}
    assert read(tmp_path, row, policy=OWN) == [{"kind": 1.0, "true": 0.0}]


def test_a_policy_of_one_question_takes_what_the_file_composes(tmp_path: Path) -> None:
    rows = [{"acceptable": True}, {"acceptable": None, "label": "bad"}]
    assert read(tmp_path, *rows, policy=shipped("acceptable")) == [{"acceptable": 1.0}]
    row = {"prompt_harm": "unharmful", "refusal": "refusal"}
    assert [found["acceptable"] for found in read(tmp_path, row, policy=shipped("acceptable"))] == [0.0]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs public data at {DATA} (SUPERALIGN_TEST_DATA)")
def test_wildguardtest_reads_as_it_is() -> None:
    found = read_judged_dimensions(str(DATA / "judge_wildguardtest.jsonl"), "expert.curated", shipped())
    assert len(found) == 852 and not any("sound" in row.p for row in found)
    said = [row.p["complies"] for row in found if "complies" in row.p]
    assert {round(3 * p, 9) for p in said} == {0.0, 1.0, 2.0, 3.0}, "how many of three people say so"
    # as its column `refusal` counts: 265 refusals, 586 compliances
    assert (sum(p < 0.5 for p in said), sum(p > 0.5 for p in said)) == (265, 586)


def test_what_nobody_said_stays_unknown(tmp_path: Path) -> None:
    rows = [{"prompt_harm": None, "refusal": "refusal"}, {"prompt_harm": "harmful", "refusal": ""}, {"prompt_harm": ""}]
    assert read(tmp_path, *rows) == [{"complies": 0.0}, {"harmful": 1.0}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"harmful": "rather"}, "column 'harmful' holds 'rather' 1 times, which means neither yes nor no"),
        ({"harmful": 1.5}, "holds '1.5' 1 times, which means neither yes nor no"),
        (
            {"harmful": "yes", "harmful_agreement": "most"},
            "'harmful_agreement' holds 'most' 1 times, which means no num",
        ),
        (
            {"harmful": "yes", "harmful_agreement": 5},
            r"1 values that are no majority, or more than all \(counts are of 3,",
        ),
        ({"harmful": "yes", "harmful_agreement": 0.3}, "1 values that are no majority"),
        ({"harmful": "yes", "harmful_agreement": 2, "annotators": 5}, "no majority, .* of column 'annotators'"),
        ({"words": 3}, "no column for any of harmful, complies, sound, acceptable, by policy safety .it has prompt"),
        ({"harmful": None}, "none of its 1 rows has a prompt, an answer and a verdict on one of harmful"),
        ({"response": None, "harmful": True}, "none of its 1 rows has a prompt"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, row)
