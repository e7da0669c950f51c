from __future__ import annotations

from superalign.training.algorithms.dpo import PairCollator
from superalign.training.rows import AnchorStream, pad_rows

PAIR = {"prompt_ids": [5, 6], "chosen_ids": [7], "rejected_ids": [8, 9], "q": 0.9, "w": 0.5}
ANCHORS = [{"prompt_ids": [10], "completion_ids": [20 + i]} for i in range(5)]


def test_rows_are_padded_on_the_right_and_completions_masked() -> None:
    batch = pad_rows([([5, 6], [7]), ([8], [9, 10, 11])])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 9, 10, 11]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]


def test_a_batch_holds_chosen_then_rejected_then_anchors_with_the_labels_of_its_pairs() -> None:
    batch = PairCollator(AnchorStream(ANCHORS[:1], 1, seed=0))([PAIR, PAIR])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [5, 6, 7, 0], [5, 6, 8, 9], [5, 6, 8, 9], [10, 20, 0, 0]]
    assert batch["q"].tolist() == batch["q"].new_tensor([0.9, 0.9]).tolist()
    assert batch["w"].tolist() == [0.5, 0.5]


def test_every_anchor_is_drawn_before_one_comes_again() -> None:
    collator = PairCollator(AnchorStream(ANCHORS, 5, seed=1))
    for _ in range(3):
        assert sorted(collator([PAIR])["input_ids"][2:, 1].tolist()) == [20, 21, 22, 23, 24]


def test_anchors_depend_on_the_seed_alone() -> None:
    streams = [AnchorStream(ANCHORS, 2, seed) for seed in (1, 1, 2)]
    drawn = [[stream.draw() for _ in range(3)] for stream in streams]
    assert drawn[0] == drawn[1] != drawn[2]
