"""The decoding loop: one left-padded batch, a preallocated key-value cache, sampling by given uniform numbers.

For small models on a CPU the bookkeeping of `transformers.generate`, and a cache that is concatenated anew for every
token (63 % of the time when profiled), cost more than the model itself; and it prefills each sample of a prompt anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

KEEP_SHARE = 0.75  # finished rows are dropped once so few remain active: dropping copies the cache


@dataclass(frozen=True, slots=True)
class DecodingRequest:
    """One sequence to complete; `key` seeds its uniform numbers, `limit` is the most tokens it may get."""

    prompt: tuple[int, ...]
    limit: int
    temperature: float
    key: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Completed:
    """The tokens of a row with their log-probabilities; `stopped` tells whether the last is a stop token."""

    tokens: list[int]
    logprobs: list[float]
    stopped: bool


class _PreallocatedLayer(DynamicLayer):
    """A cache layer that writes into room made once, instead of concatenating anew for every token."""

    keys: torch.Tensor
    values: torch.Tensor
    is_initialized: bool

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self._all_keys, self._all_values = (
                state.new_empty((*state.shape[:-2], self._room, state.shape[-1]))
                for state in (key_states, value_states)
            )
            self.is_initialized = True
        self._all_keys[..., start:end, :] = key_states
        self._all_values[..., start:end, :] = value_states
        self._view(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        length = self.get_seq_length()
        self._all_keys, self._all_values = self._all_keys[indices], self._all_values[indices]
        self._view(length)

    def get_seq_length(self) -> int:
        return self.keys.shape[-2] if self.is_initialized else 0

    def _view(self, length: int) -> None:
        self.keys, self.values = self._all_keys[..., :length, :], self._all_values[..., :length, :]


def make_cache(model: PreTrainedModel, room: int) -> DynamicCache:
    """A cache for `room` positions; layers of another kind (sliding, recurrent) keep their own cache."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_PreallocatedLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def cache_bytes(model: PreTrainedModel) -> int:
    """What the keys and values of one token take in all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def left_pad(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both [rows, longest]; padding is token 0 under a zero mask."""
    width = max(map(len, prompts))
    ids = np.zeros((len(prompts), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids of a left-padded batch."""
    return (mask.cumsum(1) - 1).clamp_(min=0)


@torch.inference_mode()
def decode(model: PreTrainedModel, rows: Sequence[DecodingRequest], stop_ids: frozenset[int]) -> list[Completed]:
    """Complete the rows. A row's uniform numbers depend on its key alone, not on the batch that it is in."""
    device = model.device
    steps = max(row.limit for row in rows)
    prompts = sorted({row.prompt for row in rows})
    uniform = torch.from_numpy(np.stack([np.random.default_rng(row.key).random(steps) for row in rows])).to(device)
    temperature = torch.tensor([row.temperature for row in rows], device=device)
    limits = torch.tensor([row.limit for row in rows], device=device)
    stops = torch.tensor(sorted(stop_ids), device=device)

    ids, mask = left_pad(prompts, device)
    width = ids.shape[1]
    cache = make_cache(model, width + steps)
    logits = _forward(model, ids, mask, positions(mask), cache)
    # Samples of the same prompt share its prefill.
    where = {prompt: index for index, prompt in enumerate(prompts)}
    spread = torch.tensor([where[row.prompt] for row in rows], device=device)
    cache.batch_select_indices(spread)
    logits, mask = logits[spread], mask[spread]
    position = mask.sum(1, keepdim=True)
    mask = torch.cat([mask, mask.new_ones(len(rows), steps)], dim=1)

    tokens = torch.zeros(len(rows), steps, dtype=torch.long, device=device)
    logprobs = torch.zeros(len(rows), steps, device=device)
    lengths = torch.zeros(len(rows), dtype=torch.long, device=device)
    stopped = torch.zeros(len(rows), dtype=torch.bool, device=device)
    left = torch.arange(len(rows), device=device)
    active = torch.ones_like(stopped)
    for step in range(steps):
        logp = torch.log_softmax(logits, dim=-1)
        token = _sample(logits, temperature[left], uniform[left, step])
        tokens[left, step] = token
        logprobs[left, step] = logp.gather(1, token[:, None])[:, 0]
        stop = torch.isin(token, stops)
        lengths[left[active]] = step + 1
        stopped[left] |= active & stop
        active &= ~stop & (limits[left] > step + 1)
        remaining = int(active.sum())
        if not remaining:
            break
        if remaining <= KEEP_SHARE * len(left):
            keep = active.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            left, token, position, mask, active = left[keep], token[keep], position[keep], mask[keep], active[keep]
        logits = _forward(model, token[:, None], mask[:, : width + step + 1], position, cache)
        position = position + 1
    return [
        Completed(t[:n], p[:n], s)
        for t, p, n, s in zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), stopped.tolist(), strict=True)
    ]


def _forward(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=position,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1].float()


def _sample(logits: torch.Tensor, temperature: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Inverse-CDF sampling, greedy where the temperature is 0. [rows, vocabulary], [rows], [rows] -> [rows]."""
    greedy = temperature == 0
    best = logits.argmax(-1)
    if bool(greedy.all()):
        return best
    scaled = logits / torch.where(greedy, 1.0, temperature)[:, None]
    # Double sums: in single precision the tail of a large vocabulary would be rounded away.
    cumulative = torch.softmax(scaled, dim=-1).cumsum(-1, dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)[:, 0]
    return torch.where(greedy, best, drawn.clamp_(max=logits.shape[-1] - 1))
