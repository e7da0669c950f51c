"""Rows on their way into a model: padding, and anchors in an endless shuffle."""

from __future__ import annotations

from superalign.training.rows import AnchorStream, pad_rows

ANCHORS = [{"prompt_ids": [10], "completion_ids": [20 + i]} for i in range(5)]


def test_rows_are_padded_on_the_right_and_completions_masked() -> None:
    batch = pad_rows([([5, 6], [7]), ([8], [9, 10, 11])])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 9, 10, 11]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]


def test_every_anchor_is_drawn_before_one_comes_again() -> None:
    stream = AnchorStream(ANCHORS, 5, seed=1)
    for _ in range(3):
        assert sorted(completion[0] for _, completion in stream.draw()) == [20, 21, 22, 23, 24]


def test_anchors_depend_on_the_seed_alone() -> None:
    streams = [AnchorStream(ANCHORS, 2, seed) for seed in (1, 1, 2)]
    drawn = [[stream.draw() for _ in range(3)] for stream in streams]
    assert drawn[0] == drawn[1] != drawn[2]
