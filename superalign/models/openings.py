"""Texts in pieces that are read at once: of like length, and without reading twice what many of them begin with.

A policy or demonstrations before every request are most of what a judge reads. Their keys and values are computed once
and given to every text that begins so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from transformers import DynamicCache, PreTrainedModel

from superalign.models.caches import has_cache
from superalign.models.checks import arguments

LARGE = 2**24  # parameters: in smaller models a further forward costs more than what it spares
SHORTEST = 64  # tokens of an opening: copying the keys and values of fewer spares nothing
STEP = 16  # tokens: openings whose lengths differ by less are not told apart
GPU_WORTH = 2**12  # tokens spared on a GPU, which reads as many in the time of one more forward
CPU_PIECE = 384  # tokens for each thread: more make no product faster, and leave the processor's cache


class Opening:
    """The tokens that several texts begin with, and their keys and values, computed when they are first needed."""

    def __init__(self, model: PreTrainedModel, tokens: Sequence[int]) -> None:
        self._model, self._tokens = model, list(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    @cached_property
    def _layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each layer, [heads, tokens, width]; all of them, whatever window the layer has."""
        cache, ids = DynamicCache(), torch.tensor([self._tokens], device=self._model.device)
        given = arguments(self._model, attention_mask=torch.ones_like(ids), logits_to_keep=1)
        self._model(input_ids=ids, past_key_values=cache, use_cache=True, **given)
        return [(layer.keys[0], layer.values[0]) for layer in cache.layers]

    def fill(self, cache: DynamicCache, places: torch.Tensor) -> None:
        """Put the keys and values of these tokens (indices, [rows, positions]) first into a fresh cache."""
        for number, states in enumerate(self._layers):
            keys, values = (state[:, places].transpose(0, 1) for state in states)
            cache.update(keys, values, number)


class Piece(NamedTuple):
    """Places of texts that are read together, after what all of them begin with."""

    opening: Opening | None
    rows: list[int]


def is_large(model: PreTrainedModel) -> bool:
    """Whether a model is large enough for pieces to be worth their bookkeeping."""
    return sum(weight.numel() for weight in model.parameters()) >= LARGE


def pieces(
    model: PreTrainedModel, heads: Sequence[Sequence[int]], lengths: Sequence[int], most: int
) -> Iterator[Piece]:
    """All texts in pieces.

    Args:
        model: what will read them.
        heads: what each text may share with others, shorter than itself.
        lengths: tokens of each text.
        most: tokens of one padded piece, or of one text if it is longer.
    """
    cpu = model.device.type == "cpu"
    groups = shared(heads, 0 if cpu else GPU_WORTH) if is_large(model) and has_cache(model) else []
    alone = sorted(set(range(len(heads))) - {row for _, rows in groups for row in rows})
    for size, rows in [*groups, (0, alone)]:
        opening = Opening(model, heads[rows[0]][:size]) if size else None
        room = CPU_PIECE * torch.get_num_threads() if cpu else most
        piece: list[int] = []
        for row in sorted(rows, key=lambda row: lengths[row]):
            count = len(piece) + 1
            if piece and (count * (lengths[row] - size) > room or count * lengths[row] > most):
                yield Piece(opening, piece)
                piece = []
            piece.append(row)
        if piece:
            yield Piece(opening, piece)


def shared(texts: Sequence[Sequence[int]], worth: int = 0) -> list[tuple[int, list[int]]]:
    """Groups of texts that begin with the same tokens, and how many; other texts are in none.

    Groups lie within one another as branches of a tree: those are taken that spare the most tokens, each at least
    `worth`.
    """
    order = sorted(range(len(texts)), key=lambda i: tuple(texts[i]))
    alike = [_common(texts[a], texts[b]) // STEP * STEP for a, b in pairwise(order)]

    def best(first: int, last: int) -> tuple[int, list[tuple[int, list[int]]]]:
        """Of the texts from `first` to `last` in order: tokens spared, and the groups that spare them."""
        if first == last:
            return 0, []
        least = min(alike[first:last])
        cuts = [i for i in range(first, last) if alike[i] == least]
        parts = [best(*ends) for ends in zip([first, *(i + 1 for i in cuts)], [*cuts, last], strict=True)]
        apart, together = sum(spared for spared, _ in parts), least * (last - first)
        if least >= SHORTEST and together >= max(apart, worth):
            return together, [(least, order[first : last + 1])]
        return apart, [group for _, groups in parts for group in groups]

    return best(0, len(order) - 1)[1] if order else []


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
