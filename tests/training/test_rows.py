"""Rows on their way into a model: padding, and anchors in an endless shuffle."""

from __future__ import annotations

import torch

from superalign.training.rows import AnchorStream, anchor_losses, pad_rows, recorded_logps

ANCHORS = [{"prompt_ids": [10], "completion_ids": [20 + i]} for i in range(5)]


def test_rows_are_padded_on_the_right_and_completions_masked() -> None:
    batch = pad_rows([([5, 6], [7]), ([8], [9, 10, 11])])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 9, 10, 11]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]


def test_every_anchor_is_drawn_before_one_comes_again() -> None:
    stream = AnchorStream(ANCHORS, 5, seed=1)
    for _ in range(3):
        assert sorted(row["completion_ids"][0] for row in stream.draw()) == [20, 21, 22, 23, 24]


def test_anchors_depend_on_the_seed_alone() -> None:
    streams = [AnchorStream(ANCHORS, 2, seed) for seed in (1, 1, 2)]
    drawn = [[stream.draw() for _ in range(3)] for stream in streams]
    assert drawn[0] == drawn[1] != drawn[2]


def test_where_the_policy_is_to_stay_as_it_was_only_a_change_costs() -> None:
    rows = [{"prompt_ids": [5, 6], "completion_ids": [7, 8], "logprobs": [-1.0, -2.0]}, ANCHORS[0]]
    recorded = recorded_logps(rows, width=4)
    assert recorded[0].tolist() == [0.0, -1.0, -2.0] and recorded[1].isnan().all()
    same = torch.tensor([[0.0, -1.0, -2.0], [-3.0, 0.0, 0.0]], requires_grad=True)
    losses = anchor_losses(same, recorded, 10.0)
    assert losses.tolist() == [[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]
    losses.sum().backward()
    assert same.grad is not None and same.grad[0].tolist() == [0.0, 0.0, 0.0]
    moved = anchor_losses(torch.tensor([[0.0, -1.5, -1.0], [0.0] * 3]), recorded, 10.0)
    assert moved[0].tolist() == [0.0, 1.25, 5.0]
