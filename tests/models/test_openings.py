"""Which texts are read together: what they begin with alike, and of like length."""

from __future__ import annotations

import pytest
import torch

from superalign.models import load_base, openings
from superalign.models.openings import pieces, shared

A, B = tuple(range(100)), tuple(range(200, 300))


def test_texts_that_begin_alike_are_a_group_and_others_are_in_none() -> None:
    texts = [(*A, 1), (7, 8), (*B, 3), (*A, 2), (*A, 5), (*B, 4), A[:63]]
    assert sorted(shared(texts)) == [(96, [0, 3, 4]), (96, [2, 5])]


def test_a_group_is_a_branch_or_the_tree_whichever_spares_more() -> None:
    """Ten texts share 64 tokens: 9 * 64 = 576; five of them share 160, others nothing more: 4 * 160 = 640 > 576."""
    long = [(*A[:64], *B, i) for i in range(5)]
    others = [(*A[:64], 400 + i) for i in range(5)]
    assert shared([*others, *long]) == [(160, [5, 6, 7, 8, 9])]
    more = [(*A[:64], 500 + i) for i in range(9)]  # 13 * 64 = 832 > 640
    assert [(size, len(rows)) for size, rows in shared([*long, *more])] == [(64, 14)]


def test_what_spares_too_little_is_no_group() -> None:
    assert shared([(*A, 1), (*A, 2)], worth=97) == []
    assert shared([]) == [] == shared([A])


def test_a_piece_on_a_cpu_has_tokens_of_like_length_for_each_thread(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_base(tiny_model)
    monkeypatch.setattr(openings, "CPU_PIECE", 40)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = list(pieces(model, [()] * 6, [30, 10, 12, 50, 11, 9], most=1000))
        assert [piece.rows for piece in found] == [[5, 1, 4], [2], [0], [3]]
        assert [piece.rows for piece in pieces(model, [()] * 3, [4, 4, 4], most=9)] == [[0, 1], [2]]
    finally:
        torch.set_num_threads(threads)
