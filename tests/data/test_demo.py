"""The requests and the labelled answers that ship."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from superalign.config.paths import conf_dir
from superalign.config.sections import DataConfig
from superalign.data import demo
from superalign.data.judged_dimensions import read_judged_dimensions
from superalign.data.seeds import read_seeds
from superalign.errors import UserError
from superalign.prompts.files import load_policy
from superalign.stats.text_similarity import SIMILARITY, near_duplicates

REQUESTS: list[dict[str, Any]] = [json.loads(line) for line in demo.path("requests").open(encoding="utf-8")]
ANSWERS: dict[str, list[dict[str, Any]]] = {
    name: [json.loads(line) for line in demo.path(name).open(encoding="utf-8")] for name in ("answers", "judge_answers")
}
each_file = pytest.mark.parametrize("name", ANSWERS)
HARM = {each["category"] for each in REQUESTS if each["kind"] == "harmful"}


def texts(**wanted: Any) -> list[str]:
    return [each["text"] for each in REQUESTS if wanted.items() <= each.items()]


def test_there_are_enough_requests_of_each_kind_and_category() -> None:
    assert Counter((each["kind"], each["lookalike"]) for each in REQUESTS) == {
        ("harmful", False): 156,
        ("benign", False): 156,
        ("benign", True): 84,
    }
    assert len(HARM) == 12
    for category in HARM:
        assert len(texts(category=category, kind="harmful")) == 13
        assert len(texts(category=category, lookalike=True)) == 7
    plain = Counter(each["category"] for each in REQUESTS if each["kind"] == "benign" and not each["lookalike"])
    assert set(plain.values()) == {12} and not HARM & plain.keys()


def test_every_request_has_an_id_and_a_text_of_its_own() -> None:
    for column in ("id", "text"):
        assert len({each[column] for each in REQUESTS}) == len(REQUESTS)
    assert {tuple(each) for each in REQUESTS} == {("id", "text", "kind", "category", "lookalike")}


def test_no_two_requests_are_near_duplicates() -> None:
    assert not near_duplicates([each["text"] for each in REQUESTS], [], SIMILARITY).any()


def test_the_first_word_does_not_tell_harmful_requests_from_harmless_ones() -> None:
    begin = {kind: Counter(text.split()[0].lower() for text in texts(kind=kind)) for kind in ("harmful", "benign")}
    for one, other in (("harmful", "benign"), ("benign", "harmful")):
        shared = sum(count for word, count in begin[one].items() if word in begin[other])
        assert shared >= 0.8 * begin[one].total()


@pytest.mark.parametrize(
    ("name", "each", "sound", "how"),
    [
        ("answers", 75, {True: 43, False: 32}, {"greedy": 145, "sampled": 30, "asked to decline": 125}),
        ("judge_answers", 40, {True: 22, False: 18}, {"greedy": 72, "sampled": 17, "asked to decline": 71}),
    ],
)
def test_the_answers_fill_all_quadrants(name: str, each: int, sound: dict[bool, int], how: dict[str, int]) -> None:
    rows = ANSWERS[name]
    quadrants = [(harmful, complies) for harmful in (True, False) for complies in (True, False)]
    assert Counter((row["harmful"], row["complies"]) for row in rows) == dict.fromkeys(quadrants, each)
    assert Counter(row["sound"] for row in rows if row["sound"] is not None) == sound
    assert Counter(row["how"] for row in rows) == how


@each_file
def test_every_label_agrees_with_the_composition(name: str) -> None:
    policy = load_policy(conf_dir() / "policy" / "safety.yaml", conf_dir() / "policy")
    for row in ANSWERS[name]:
        assert (row["sound"] is None) == (row["harmful"] or not row["complies"])
        said = {name: float(bool(row[name])) for name in ("harmful", "complies", "sound")}
        assert policy.compose(said) == float(row["acceptable"]), row["id"]


@each_file
def test_an_answer_is_to_a_request_that_ships_and_of_its_kind(name: str) -> None:
    known = {each["text"]: each for each in REQUESTS}
    for row in ANSWERS[name]:
        request = known[row["prompt"]]
        assert (request["kind"] == "harmful", request["category"]) == (row["harmful"], row["category"])
        assert row["id"].startswith(f"{request['id']}-") and row["answer"].strip()
    for column in ("id", "answer"):
        assert len({(row["prompt"], row[column]) for row in ANSWERS[name]}) == len(ANSWERS[name])


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_no_answer_for_the_critic_is_to_a_held_out_request(share: float) -> None:
    seeds = read_seeds(DataConfig(seeds="demo", eval_share=share), 0).seeds
    held = {each.text for each in seeds if each.split == "eval"}
    assert held and not held & {row["prompt"] for row in ANSWERS["answers"]}


def test_the_answers_for_the_judge_are_to_held_out_requests_alone() -> None:
    seeds = read_seeds(DataConfig(seeds="demo"), 0).seeds
    held = {each.text for each in seeds if each.split == "eval"}
    assert {row["prompt"] for row in ANSWERS["judge_answers"]} <= held


@each_file
def test_the_answers_are_read_as_labels_by_dimension(name: str) -> None:
    policy = load_policy(conf_dir() / "policy" / "safety.yaml", conf_dir() / "policy")
    found = read_judged_dimensions(str(demo.path(name)), "expert.curated", policy)
    assert [row.acceptable for row in found] == [float(row["acceptable"]) for row in ANSWERS[name]]
    assert sum("sound" in row.p for row in found) == sum(row["sound"] is not None for row in ANSWERS[name])


def test_the_demo_is_read_as_seeds() -> None:
    found = read_seeds(DataConfig(seeds="demo"), 0)
    assert {each.id for each in found.seeds} == {each["id"] for each in REQUESTS}
    assert sum(each.lookalike for each in found.seeds) == 84
    assert Counter(each.split for each in found.seeds) == {"train": 263, "eval": 133}
    assert found.summary.lines()[0] == "data.seeds=demo: JSON Lines, UTF-8"


def test_a_folder_of_the_same_name_is_not_passed_over_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("how do i bake?\nhow do i sing?\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^data\.seeds=demo may be the data that ship .*demo: write \./demo"):
        read_seeds(DataConfig(seeds="demo", kind="harmful"), 0)
    assert len(read_seeds(DataConfig(seeds="./demo", kind="harmful"), 0).seeds) == 2


@pytest.mark.parametrize(("setting", "name"), demo.SETTINGS.items())
def test_each_setting_has_its_own_file(setting: str, name: str) -> None:
    assert demo.located("demo", setting) == str(demo.path(name))
    assert demo.located("mine.jsonl", setting) == "mine.jsonl"


def test_the_judge_never_learns_from_the_labels_of_the_critic() -> None:
    assert not {row["prompt"] for row in ANSWERS["answers"]} & {row["prompt"] for row in ANSWERS["judge_answers"]}
