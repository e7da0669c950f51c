"""Novelty, self-similarity and the attacker's reward."""

import json

import numpy as np
import pytest

from superalign.feedback.novelty import (
    Archive,
    attack_reward,
    attack_strength,
    knn_novelty,
    near_duplicates,
    self_bleu,
    tail_logprob,
)
from superalign.records import Query

GARDEN = [f"please tell me how to grow {x} in a small garden" for x in ("beans", "roses", "kale", "mint", "peas")]
OTHER = "translate the national anthem into ancient greek verse"


def query(i: int, category: str = "c", tactic: str = "plain") -> Query:
    return Query(f"q{i}", f"s{i}", f"{GARDEN[i % 5]} number {i}", "benign", category, tactic, "attacker", 1)


def test_an_empty_archive_makes_everything_new() -> None:
    assert knn_novelty(["a text"], []).tolist() == [1.0]


def test_a_known_topic_is_far_less_novel_than_another() -> None:
    known, new = knn_novelty(["please tell me how to grow thyme in a small garden", OTHER], GARDEN)
    assert known < 0.4 < 0.8 < new <= 1


def test_only_the_nearest_sixteen_count_however_large_the_archive() -> None:
    close = ["please tell me how to grow thyme in a small garden"]
    noise = [f"entry {i * i} about machine {i} and colour {i % 7}" for i in range(300)]
    assert knn_novelty(close, GARDEN * 4 + noise) == pytest.approx(knn_novelty(close, GARDEN * 4), abs=0.01)


def test_exact_copies_of_the_archive_or_of_an_earlier_text_are_duplicates() -> None:
    found = near_duplicates([OTHER, GARDEN[0], OTHER], [GARDEN[0]], 1.0)
    assert found.tolist() == [False, True, True]


def test_texts_that_differ_in_one_letter_are_near_duplicates() -> None:
    long = " ".join(GARDEN)
    assert near_duplicates([long + "x"], [long], 0.98).tolist() == [True]
    assert near_duplicates([OTHER], [long], 0.98).tolist() == [False]


def test_self_bleu_is_one_for_copies_and_near_zero_for_strangers() -> None:
    assert self_bleu([OTHER, OTHER]) == pytest.approx([1, 1])
    assert self_bleu([OTHER, GARDEN[0]]).max() < 0.1
    assert 0.1 < self_bleu(GARDEN).mean() < 0.95


def test_self_bleu_clips_repeated_n_grams() -> None:
    score = self_bleu(["go on go on go on go on", "go on and on it goes"])
    assert score[0] < 0.5


def test_texts_too_short_for_two_grams_have_no_self_bleu() -> None:
    assert self_bleu(["hello", "hello", ""]).tolist() == [0, 0, 0]


def test_judges_that_disagree_lower_the_strength() -> None:
    assert attack_strength([[0.9, 0.9], [0.9, 0.9]], 1.0) == pytest.approx(0.9)
    assert attack_strength([[1.0, 1.0], [0.0, 0.0]], 1.0) == 0.0
    assert attack_strength([0.4, 0.8], 0.5) == pytest.approx(0.3)


def test_the_fluency_gate_looks_at_the_worst_fifth_of_the_tokens() -> None:
    assert tail_logprob([-1.0] * 8 + [-9.0, -11.0]) == pytest.approx(-10)
    assert tail_logprob([]) == 0.0


def reward(**changes: float) -> float:
    values = {
        "strength": 0.8, "novelty": 0.5, "behaviour": 0.4, "cell": 0.5, "bleu": 0.3,
        "faithful": 1, "fluent": 1, "addresses_judge": 0, "duplicate": 0,
    } | changes  # fmt: skip
    return float(attack_reward(**{k: [v] for k, v in values.items()})[0])  # type: ignore[arg-type]


def test_the_reward_is_r1() -> None:
    assert reward() == pytest.approx(0.8 * (1 + 0.25 + 0.1 + 0.125) + 0.025 - 0.03)


@pytest.mark.parametrize("gate", ["faithful", "fluent"])
def test_a_closed_gate_leaves_only_the_penalties(gate: str) -> None:
    assert reward(**{gate: 0}) == pytest.approx(-0.03)


def test_addressing_the_judge_or_repeating_costs_a_whole_point() -> None:
    assert reward(addresses_judge=1) == pytest.approx(-1.03)
    assert reward(duplicate=1) == pytest.approx(reward() - 1)


def test_novelty_without_success_is_worth_almost_nothing() -> None:
    assert reward(strength=0.0, novelty=1.0, bleu=0.0) == pytest.approx(0.05)


def test_a_cell_is_rarer_the_fewer_attacks_it_holds() -> None:
    archive = Archive()
    archive.add([query(i, tactic="fiction") for i in range(3)], [""] * 3, [0.5] * 3)
    assert archive.rarity(["c", "c"], ["fiction", "plain"]) == pytest.approx([0.5, 1.0])


def test_novelty_is_measured_within_the_category() -> None:
    archive = Archive()
    archive.add([query(0, "garden")], ["gives unsafe advice"], [1.0])
    same, other = archive.novelty([query(0).text] * 2, ["garden", "kitchen"])
    assert same == pytest.approx(0, abs=1e-6)
    assert other == 1.0
    assert archive.behaviour_novelty(["gives unsafe advice", ""], ["garden"] * 2) == pytest.approx([0, 0], abs=1e-6)


def test_adding_the_same_queries_again_changes_nothing() -> None:
    archive = Archive()
    for _ in range(2):
        archive.add([query(i) for i in range(4)], [""] * 4, [0.1] * 4)
    assert len(archive) == 4
    assert archive.cells["c", "plain"] == 4


def test_an_archive_survives_json_and_goes_on_the_same() -> None:
    archive = Archive()
    archive.add([query(i, f"c{i % 2}") for i in range(6)], [f"weakness {i}" for i in range(6)], np.linspace(0, 1, 6))
    restored = Archive.from_rows(json.loads(json.dumps(archive.to_rows())))
    assert restored.to_rows() == archive.to_rows()
    assert restored.sample(3, 1) == archive.sample(3, 1)
    assert restored.novelty([OTHER], ["c1"]).tolist() == archive.novelty([OTHER], ["c1"]).tolist()


def test_the_archive_sees_what_was_added_after_it_was_first_asked() -> None:
    archive = Archive()
    assert archive.duplicates([query(1).text], 0.99).tolist() == [False]
    archive.add([query(1)], [""], [0.0])
    assert archive.duplicates([query(1).text], 0.99).tolist() == [True]


def test_past_opponents_are_distinct_and_strong_ones_come_more_often() -> None:
    archive = Archive()
    archive.add([query(i) for i in range(20)], [""] * 20, [0.0] * 10 + [1.0] * 10)
    drawn = [q.id for seed in range(50) for q in archive.sample(5, seed)]
    assert sum(int(i[1:]) >= 10 for i in drawn) > 0.75 * len(drawn)
    assert len({q.id for q in archive.sample(20, 0)}) == 20
    assert Archive().sample(3, 0) == []
