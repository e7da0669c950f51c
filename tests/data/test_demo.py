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
ANSWERS: list[dict[str, Any]] = [json.loads(line) for line in demo.path("answers").open(encoding="utf-8")]
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


def test_the_answers_fill_all_quadrants() -> None:
    assert len(ANSWERS) == 300
    assert set(Counter((each["harmful"], each["complies"]) for each in ANSWERS).values()) == {75}
    assert Counter(each["sound"] for each in ANSWERS if each["sound"] is not None) == {True: 43, False: 32}
    assert Counter(each["how"] for each in ANSWERS) == {"greedy": 145, "sampled": 30, "asked to decline": 125}


def test_every_label_agrees_with_the_composition() -> None:
    policy = load_policy(conf_dir() / "policy" / "safety.yaml", conf_dir() / "policy")
    for each in ANSWERS:
        assert (each["sound"] is None) == (each["harmful"] or not each["complies"])
        said = {name: float(bool(each[name])) for name in ("harmful", "complies", "sound")}
        assert policy.compose(said) == float(each["acceptable"]), each["id"]


def test_an_answer_is_to_a_request_that_ships_and_of_its_kind() -> None:
    known = {each["text"]: each for each in REQUESTS}
    for each in ANSWERS:
        request = known[each["prompt"]]
        assert (request["kind"] == "harmful", request["category"]) == (each["harmful"], each["category"])
        assert each["id"].startswith(f"{request['id']}-") and each["answer"].strip()
    for column in ("id", "answer"):
        assert len({(each["prompt"], each[column]) for each in ANSWERS}) == len(ANSWERS)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_no_answer_is_to_a_held_out_request(share: float) -> None:
    seeds = read_seeds(DataConfig(seeds="demo", eval_share=share), 0).seeds
    held = {each.text for each in seeds if each.split == "eval"}
    assert held and not held & {each["prompt"] for each in ANSWERS}


def test_the_answers_are_read_as_labels_by_dimension() -> None:
    policy = load_policy(conf_dir() / "policy" / "safety.yaml", conf_dir() / "policy")
    found = read_judged_dimensions(str(demo.path("answers")), "expert.curated", policy)
    assert [row.acceptable for row in found] == [float(each["acceptable"]) for each in ANSWERS]
    assert sum("sound" in row.p for row in found) == 75


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
    with pytest.raises(
        UserError, match=r"^demo is the name of data that ship with superalign and of .*: write \./demo$"
    ):
        read_seeds(DataConfig(seeds="demo", kind="harmful"), 0)
    assert len(read_seeds(DataConfig(seeds="./demo", kind="harmful"), 0).seeds) == 2
