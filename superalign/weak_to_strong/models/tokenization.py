"""Texts as batches of token ids: for causal models through their chat template, for encoders as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from superalign.models import load_chat, load_config, load_tokenizer
from superalign.prompts import library
from superalign.weak_to_strong.base import Ints, Text


class Padded(NamedTuple):
    """A batch of token ids, padded on the right to its longest row: each [b, t].

    `types` are those of encoders that use them. `response`, of causal models, is 1 on the tokens of the response, or on
    all but the first where there is no response.
    """

    ids: Tensor
    mask: Tensor
    types: Tensor | None
    response: Tensor | None = None


class Tokens:
    """Texts as a model's token ids (`train_loop.ModelInputs`); what exceeds the context is cut out of the middle.

    A causal model reads the user's turn and the assistant's finished one; without a response, up to where the
    assistant would begin. An encoder reads the prompt, or the prompt and the response as a pair.

    Args:
        model: a model name of superalign.
        texts: what is read.
        causal: whether the model reads from left to right (`backbones.outline`).
        device: where batches are made.
    """

    def __init__(self, model: str, texts: Sequence[Text], causal: bool, device: str) -> None:
        tokenizer = load_tokenizer(model)
        self._pad, self._device = tokenizer.pad_token_id, device
        self._types: list[list[int]] | None = None
        self._starts: Ints | None = None
        if causal:
            turns = [_chat_ids(model, text) for text in texts]
            self._ids = [prompt + response for prompt, response in turns]
            self._starts = np.array([len(prompt) if response else 1 for prompt, response in turns], dtype=np.int64)
        else:
            self._ids, self._types = _encoder_ids(model, texts)
        self.lengths: Ints = np.array([len(ids) for ids in self._ids], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    def batch(self, index: Ints) -> Padded:
        """The texts at these positions."""
        width = int(self.lengths[index].max())

        def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
            return torch.tensor([[*rows[i], *[value] * (width - len(rows[i]))] for i in index], device=self._device)

        mask = torch.arange(width) < torch.from_numpy(self.lengths[index])[:, None]
        types = None if self._types is None else padded(self._types, 0)
        response = None
        if self._starts is not None:
            response = (mask & (torch.arange(width) >= torch.from_numpy(self._starts[index])[:, None])).to(self._device)
        return Padded(padded(self._ids, self._pad), mask.long().to(self._device), types, response)


def _chat_ids(model: str, text: Text) -> tuple[list[int], list[int]]:
    """The ids of the prompt, up to where the assistant begins, and those of its finished turn, if there is one."""
    chat = load_chat(model)
    if not text.response:
        return chat.prompt_ids(library.respond(text.prompt)), []
    response = chat.encode(text.response)
    prompt = chat.prompt_ids(library.respond(text.prompt), room=len(response) + 1)
    excess = len(response) + 1 - (chat.context - len(prompt))
    if excess > 0:
        start = (len(response) - excess) // 2
        del response[start : start + excess]
    return prompt, chat.closed(response)


def _encoder_ids(model: str, texts: Sequence[Text]) -> tuple[list[list[int]], list[list[int]] | None]:
    """Ids and, where the model wants them, the part (prompt 0, response 1) that each token is of."""
    tokenizer = load_tokenizer(model)
    config = load_config(model)
    context = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", tokenizer.model_max_length))
    ids: list[list[int]] = []
    types: list[list[int]] = []
    for text in texts:
        parts = [text.prompt, text.response] if text.response else [text.prompt]
        room = context - tokenizer.num_special_tokens_to_add(pair=len(parts) == 2)
        # Truncation is for the odd token that a seam adds.
        made: Any = tokenizer(
            *_without_middle(tokenizer, parts, room), truncation=True, max_length=context, split_special_tokens=True
        )
        ids.append(made["input_ids"])
        types.append(made.get("token_type_ids", []))
    return ids, types if all(types) else None


def _without_middle(tokenizer: Any, parts: list[str], room: int) -> list[str]:
    """The parts with as much cut out of the middle of the longer one, then of both, as fits into `room` tokens."""
    spans = [
        tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        for part in parts
    ]
    sizes = [len(span) for span in spans]
    while sum(sizes) > room:
        sizes[sizes.index(max(sizes))] -= 1
    cut = []
    for part, span, size in zip(parts, spans, sizes, strict=True):
        before, after = size - size // 2, len(span) - size // 2
        short = size < len(span)
        cut.append(part[: span[before - 1][1]] + part[span[after][0] if size // 2 else len(part) :] if short else part)
    return cut


def inputs(batch: Padded) -> dict[str, Tensor]:
    """The batch as keyword arguments of a transformers model."""
    types = {} if batch.types is None else {"token_type_ids": batch.types}
    return {"input_ids": batch.ids, "attention_mask": batch.mask, **types}


def last_token(states: Tensor, mask: Tensor) -> Tensor:
    """The state of each row's last real token, [b, t, d] -> [b, d]; its place is known by the mask, never by an id."""
    return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]


def log_likelihood(states: Tensor, unembedding: Tensor, batch: Padded) -> Tensor:
    """What a causal model thinks of the response: statistics of its tokens' log-probabilities (nats), [b, 5].

    Mean, least, sum, mean of the first two, and how many; from the last states, [b, t, d].
    """
    assert batch.response is not None
    logits = states[:, :-1] @ unembedding.T
    logps = torch.log_softmax(logits.float(), dim=-1).gather(2, batch.ids[:, 1:, None])[..., 0]
    response = batch.response[:, 1:]
    count = response.sum(1).clamp_min(1)
    total = (logps * response).sum(1)
    opening = response & (response.cumsum(1) <= 2)
    least = logps.masked_fill(~response, 0.0).min(1).values
    first = (logps * opening).sum(1) / opening.sum(1).clamp_min(1)
    return torch.stack([total / count, least, total, first, count.to(total.dtype)], dim=1)


def mean_token(states: Tensor, mask: Tensor) -> Tensor:
    """The mean over each row's real tokens, [b, t, d] -> [b, d]."""
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)
