"""Novelty, self-BLEU and near-duplicates."""

import pytest

from superalign.stats.text_similarity import embed, near_duplicates, self_bleu, unique, vectors_novelty

GARDEN = [f"please tell me how to grow {x} in a small garden" for x in ("beans", "roses", "kale", "mint", "peas")]

OTHER = "translate the national anthem into ancient greek verse"


def novelty(texts: list[str], archive: list[str]) -> list[float]:
    return vectors_novelty(embed(texts), embed(archive)).tolist()


def test_an_empty_archive_makes_everything_new() -> None:
    assert novelty(["a text"], []) == [1.0]


def test_a_known_topic_is_far_less_novel_than_another() -> None:
    known, new = novelty(["please tell me how to grow thyme in a small garden", OTHER], GARDEN)
    assert known < 0.4 < 0.8 < new <= 1


def test_only_the_nearest_sixteen_count_however_large_the_archive() -> None:
    close = ["please tell me how to grow thyme in a small garden"]
    noise = [f"entry {i * i} about machine {i} and colour {i % 7}" for i in range(300)]
    assert novelty(close, GARDEN * 4 + noise) == pytest.approx(novelty(close, GARDEN * 4), abs=0.01)


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


def test_successes_that_are_alike_count_once_and_failures_hide_none() -> None:
    texts = [GARDEN[0], OTHER, GARDEN[0] + " please", OTHER]
    assert unique(texts, [True, False, True, True], 0.8).tolist() == [True, False, False, True]
    assert unique(texts, [True] * 4, 1.01).tolist() == [True] * 4
    assert unique([], [], 0.8).tolist() == []
