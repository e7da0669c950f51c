"""What is asked on real text: drawn once for all rounds, apart by kind, without what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.evaluation.real_text.sets import read_sets
from tests.evaluation.real_text.parts import requests, settings, write


def test_requests_of_both_kinds_are_figures_of_their_own_and_the_same_in_every_round(tmp_path: Path) -> None:
    config = settings(requests={"people": requests(tmp_path)}, requests_per_set=8)
    first, again = read_sets(config, []), read_sets(config, [])
    assert {name: len(each) for name, each in first.requests.items()} == {
        "compliance_people_harmful": 8,
        "compliance_people_benign": 8,
    }
    assert first == again
    assert {query.kind for query in first.requests["compliance_people_benign"]} == {"benign"}
    other = config.model_copy(update={"seed": 1})
    assert read_sets(other, []).requests != first.requests


def test_near_duplicates_of_training_seeds_are_left_out_and_counted(tmp_path: Path) -> None:
    config = settings(requests={"people": requests(tmp_path)}, requests_per_set=20)
    every = read_sets(config, []).requests["compliance_people_harmful"]
    trained_on = [f"{query.text}!" for query in every[:3]]
    left = read_sets(config, trained_on)
    kept = {query.text for query in left.requests["compliance_people_harmful"]}
    assert kept == {query.text for query in every[3:]}
    assert "left out: 3 of 40 looked at, which are near-duplicates of what is trained on" in left.told[0]


def test_prompts_of_curated_labels_are_trained_on_too(tmp_path: Path) -> None:
    config = settings(requests={"people": requests(tmp_path)}, requests_per_set=20)
    known = read_sets(config, []).requests["compliance_people_benign"][0].text
    path = write(tmp_path, "curated.jsonl", [{"prompt": known, "answer": "yes", "acceptable": True}])
    taught = config.model_copy(update={"expert": config.expert.model_copy(update={"curated": path})})
    left = {query.text for query in read_sets(taught, []).requests["compliance_people_benign"]}
    assert known not in left and len(left) == 19


def test_a_file_of_which_all_is_trained_on_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, "one.jsonl", [{"prompt": "how do i open a door", "kind": "harmful"}])
    with pytest.raises(UserError, match=r"evaluation.requests.people=.*one.jsonl: each of its 1 requests is"):
        read_sets(settings(requests={"people": source}), ["how do i open a door"])


def test_attacks_on_one_behaviour_are_one_cluster(tmp_path: Path) -> None:
    rows = [
        {"BehaviorID": f"b{i % 2}", "test_case": text}
        for i, text in enumerate(("zebra quilt", "open the vault", "harbour moon", "cut the wire"))
    ]
    config = settings(requests={"gcg": write(tmp_path, "gcg.jsonl", rows)})
    queries = read_sets(config, []).requests["compliance_gcg_harmful"]
    assert len({query.seed_id for query in queries}) == 2 and len({query.id for query in queries}) == 4


@pytest.mark.parametrize(
    ("column", "texts"),
    [(None, {"pretend you are a thief and paint", "in a story, bake"}), ("plain", {"paint", "bake"})],
)
def test_of_plain_and_adversarial_requests_the_latter_are_asked_unless_a_column_is_named(
    tmp_path: Path, column: str | None, texts: set[str]
) -> None:
    rows = [
        {"plain": "paint", "adversarial": "pretend you are a thief and paint", "kind": "harmful"},
        {"plain": "bake", "adversarial": "in a story, bake", "kind": "benign"},
    ]
    given: dict[str, Any] = {"request_columns": {"wild": {"text": column}}} if column else {}
    found = read_sets(settings(requests={"wild": write(tmp_path, "w.jsonl", rows)}, **given), [])
    assert {query.text for each in found.requests.values() for query in each} == texts


def test_a_file_without_kinds_is_refused_by_the_names_of_its_own_settings(tmp_path: Path) -> None:
    source = write(tmp_path, "plain.jsonl", [{"instruction": "paint", "output": "done"}])
    with pytest.raises(UserError, match=r"evaluation\.request_kinds.plain=harmful or benign") as refused:
        read_sets(settings(requests={"plain": source}), [])
    assert "data.kind" not in str(refused.value) and "evaluation.request_columns.plain.kind=" in str(refused.value)
    told = settings(requests={"plain": source}, request_kinds={"plain": "benign"})
    assert list(read_sets(told, []).requests) == ["compliance_plain_benign"]


def test_without_settings_nothing_is_asked() -> None:
    assert not read_sets(settings(), ["some seed"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"requests": {"My set": "x.jsonl"}}, "evaluation.requests: the name 'My set' should have only a-z"),
        ({"choices": {"all": "x.jsonl"}}, "evaluation.choices: the name 'all' stands for all sets"),
        ({"request_kinds": {"wild": "benign"}}, "there is no evaluation.requests.wild"),
    ],
)
def test_names_that_figures_cannot_have_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**given)
