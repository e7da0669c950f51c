"""The split by clusters of near-duplicates: nothing that is held out is trained on in other words."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from superalign.config.sections import DataConfig
from superalign.data.clusters import find_clusters
from superalign.data.seeds import load_seeds, read_seeds
from superalign.data.summary import cluster_notes
from superalign.records import Seed
from superalign.stats.text_similarity import ROUNDING, SIMILARITY, embed, vectors_cosine

NOUNS = ("kite", "boat", "lamp", "piano", "door", "song")
VERBS = ("build", "paint", "borrow", "photograph")
LETTERS = "abdegiklmnoprstu"


def near(seeds: list[Seed]) -> float:
    """The share of held-out seeds with a near-duplicate among those that are trained on."""
    sides = [[s.text for s in seeds if s.split == split] for split in ("eval", "train")]
    cosine = vectors_cosine(*map(embed, sides))
    return float(np.mean(cosine.max(axis=1) >= SIMILARITY - ROUNDING))


def variants(count: int) -> list[str]:
    """Requests in up to three wordings each."""
    rng = random.Random(0)
    found: list[str] = []
    while len(found) < count:
        words = ["".join(rng.choices(LETTERS, k=rng.randint(4, 8))) for _ in range(5)]
        text = f"how do i {' '.join(words)}"
        found += [text, f"{text}?", f"please, {text}"][: rng.randint(1, 3)]
    return found[:count]


def load(folder: Path, texts: list[str], seed: int = 0) -> list[Seed]:
    path = folder / "seeds.txt"
    path.write_text("\n".join(texts))
    return load_seeds(DataConfig(seeds=str(path), kind="harmful"), seed)


def test_no_held_out_request_has_a_near_duplicate_that_is_trained_on(tmp_path: Path) -> None:
    seeds = load(tmp_path, variants(600))
    assert near(seeds) == 0
    assert 0.22 < sum(seed.split == "eval" for seed in seeds) / len(seeds) < 0.38


def test_no_held_out_request_of_advbench_has_one_and_the_share_is_what_was_asked(tmp_path: Path) -> None:
    data = Path(os.environ.get("SUPERALIGN_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    path = data / "harmful_prompts.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    seeds = load(tmp_path, [row["prompt"] for row in rows if row["source"] == "advbench"])
    assert len(seeds) > 500 and near(seeds) == 0  # .21 when each request went by its own hash
    assert 0.22 < sum(seed.split == "eval" for seed in seeds) / len(seeds) < 0.38


def test_the_split_depends_neither_on_the_order_nor_on_the_seed(tmp_path: Path) -> None:
    texts = variants(200)
    splits = {seed.text: seed.split for seed in load(tmp_path, texts)}
    random.Random(1).shuffle(texts)
    assert {seed.text: seed.split for seed in load(tmp_path, texts, seed=7)} == splits


def test_a_chain_of_alike_requests_is_cut_and_told(tmp_path: Path) -> None:
    texts = [f"tell me all about the number {n} of this long list of numbers" for n in range(300)]
    found = find_clusters([*texts, *NOUNS])
    assert max(Counter(found.of.values()).values()) <= 0.15 * 306 and found.cut == 300
    path = tmp_path / "seeds.txt"
    path.write_text("\n".join(texts))
    read = read_seeds(DataConfig(seeds=str(path), kind="harmful"), 0)
    assert 0.2 < sum(seed.split == "eval" for seed in read.seeds) / 300 < 0.4
    assert any("300 requests are chains of near-duplicates too long for one side" in n for n in read.summary.notes)


def test_a_template_of_less_than_half_the_requests_is_trained_on_and_the_others_make_up_for_it(tmp_path: Path) -> None:
    texts = [f"tell me all about the number {n} of this long list of numbers" for n in range(240)]
    seeds = load(tmp_path, [*texts, *variants(360)])
    assert near(seeds) == 0 and {seed.split for seed in seeds[:240]} == {"train"}
    assert 0.22 < sum(seed.split == "eval" for seed in seeds) / 600 < 0.38
    found = find_clusters([*texts, *variants(360)])
    assert (found.trained_on, found.cut) == (240, 0)
    assert any("240 requests are clusters of near-duplicates too large" in n for n in cluster_notes(found, "requests"))


def test_texts_that_differ_in_case_and_spaces_stay_together_in_a_chain() -> None:
    texts = [f"item {n:04d} of the same list" for n in range(2100)]
    of = find_clusters([*texts, "Item 0007  of the same list"]).of
    assert of["Item 0007  of the same list"] == of["item 0007 of the same list"] != of["item 0008 of the same list"]


def test_of_too_many_texts_only_those_that_differ_in_case_and_spaces_stay_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("superalign.data.clusters.MOST", 3)
    monkeypatch.setattr("superalign.data.summary.MOST", 3)
    found = find_clusters(["fold the boat", "Fold the  boat", "fold the boat?", "sing"])
    assert found.count == 3 and found.of["Fold the  boat"] == found.of["fold the boat"]
    assert "4 requests are too many to compare every pair" in cluster_notes(found, "requests")[-1]


def test_requests_without_near_duplicates_are_clusters_of_their_own() -> None:
    found = find_clusters(VERBS)
    assert found.of == {text: text for text in VERBS} and (found.count, found.cut) == (len(VERBS), 0)


def test_a_split_that_got_nothing_is_given_a_whole_cluster(tmp_path: Path) -> None:
    for first in NOUNS:
        texts = [f"describe the {first} in the attic", f"Describe the {first} in the attic!", "what is a photograph?"]
        seeds = load(tmp_path, texts)
        assert {seed.split for seed in seeds} == {"train", "eval"} and seeds[0].split == seeds[1].split
