"""The decoding loop: one left-padded batch, a preallocated key-value cache, sampling by given uniform numbers.

For small models on a CPU the bookkeeping of `transformers.generate`, and a cache that is concatenated anew for every
token (63 % of the time when profiled), cost more than the model itself; and it prefills each sample of a prompt anew.
Models whose state is no key-value cache (Mamba, RWKV, hybrids) read the whole text again for every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from superalign.models.caches import has_cache, make_cache
from superalign.models.checks import arguments
from superalign.models.openings import Opening, Piece, is_large, pieces

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


def last_logits(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], keep: int, opening: Opening | None = None
) -> torch.Tensor:
    """Logits [rows, keep, vocabulary] at the last `keep` positions of each row, of shorter rows preceded by others'.

    Rows that all begin with `opening` are read from there on, or from the first of those positions.

    A model with a state reads padding as text, so it gets it behind the text, where it changes nothing.
    """
    keep = min(keep, max(map(len, rows)))
    if opening is not None:
        return _read(model, rows, make_cache(model, max(map(len, rows))), keep, opening)
    if has_cache(model):
        ids, mask = left_pad(rows, model.device)
        given = arguments(model, position_ids=positions(mask), logits_to_keep=keep)
        return model(input_ids=ids, attention_mask=mask, use_cache=False, **given).logits[:, -keep:].float()
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    logits = model(input_ids=ids.to(model.device), use_cache=False).logits
    ends = torch.tensor([len(row) for row in rows], device=model.device)
    places = (ends[:, None] - keep + torch.arange(keep, device=model.device)).clamp_min(0)
    return logits.gather(1, places[:, :, None].expand(-1, -1, logits.shape[-1])).float()


def _read(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], cache: DynamicCache, keep: int, opening: Opening | None
) -> torch.Tensor:
    """Read rows into a fresh cache, left-padded; logits as of `last_logits`.

    Keys and values of the opening are put where each row has them. Rows that go on shorter than others after it read
    its end again.
    """
    ids, mask = left_pad(rows, model.device)
    skipped = 0 if opening is None else min(len(opening), ids.shape[1] - keep)
    if opening is not None and skipped:
        padding = (1 - mask).sum(1, keepdim=True)
        opening.fill(cache, (torch.arange(skipped, device=model.device) - padding).clamp_min(0))
    given = arguments(model, position_ids=positions(mask)[:, skipped:], logits_to_keep=keep)
    output = model(input_ids=ids[:, skipped:], attention_mask=mask, past_key_values=cache, use_cache=True, **given)
    return output.logits[:, -keep:].float()


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
def decode(
    model: PreTrainedModel,
    rows: Sequence[DecodingRequest],
    stop_ids: frozenset[int],
    told: Callable[[int], None] = lambda ended: None,
) -> list[Completed]:
    """Complete the rows. A row's uniform numbers depend on its key alone, not on the batch that it is in.

    `told` is told after each token how many rows have ended.

    Raises:
        FloatingPointError: a probability is NaN.
    """
    device = model.device
    steps = max(row.limit for row in rows)
    prompts = sorted({row.prompt for row in rows})
    uniform = torch.from_numpy(np.stack([np.random.default_rng(row.key).random(steps) for row in rows])).to(device)
    temperature = torch.tensor([row.temperature for row in rows], device=device)
    limits = torch.tensor([row.limit for row in rows], device=device)
    stops = torch.tensor(sorted(stop_ids), device=device)

    # Samples of the same prompt share its prefill.
    where = {prompt: index for index, prompt in enumerate(prompts)}
    spread = torch.tensor([where[row.prompt] for row in rows], device=device)
    state = (_Cached if has_cache(model) else _Reread)(model, prompts, steps)
    logits = state.first()[spread]
    state.take(spread)

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
        told(len(rows) - remaining)
        if not remaining:
            break
        if remaining <= KEEP_SHARE * len(left):
            keep = active.nonzero()[:, 0]
            state.take(keep)
            left, token, active = left[keep], token[keep], active[keep]
        logits = state.next(token)
    if torch.isnan(logprobs).any():
        raise FloatingPointError("a probability is NaN")
    return [
        Completed(t[:n], p[:n], s)
        for t, p, n, s in zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), stopped.tolist(), strict=True)
    ]


class _Cached:
    """The rows of a batch as keys and values: each token passes through the model once."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], steps: int) -> None:
        self._model, self._prompts = model, prompts
        _, mask = left_pad(prompts, model.device)
        self._width = mask.shape[1]
        self._cache = make_cache(model, self._width + steps)
        self._mask = torch.cat([mask, mask.new_ones(len(prompts), steps)], dim=1)
        self._position = mask.sum(1, keepdim=True)

    def first(self) -> torch.Tensor:
        """Logits after the prompts, [rows, vocabulary]."""
        lengths = [len(prompt) for prompt in self._prompts]
        found = [Piece(None, list(range(len(lengths))))]
        if is_large(self._model):
            found = list(pieces(self._model, [p[:-1] for p in self._prompts], lengths, sum(lengths)))
        if len(found) == 1:
            return _read(self._model, self._prompts, self._cache, 1, found[0].opening)[:, -1]
        logits: dict[int, torch.Tensor] = {}
        read = []
        for opening, rows in found:
            cache = make_cache(self._model, max(lengths[row] for row in rows))
            made = _read(self._model, [self._prompts[row] for row in rows], cache, 1, opening)[:, -1]
            logits.update(zip(rows, made, strict=True))
            read.append((rows, cache))
        for number in range(len(self._cache.layers)):
            layers = [(rows, cache.layers[number]) for rows, cache in read]
            keys = self._together([(rows, layer.keys) for rows, layer in layers])
            values = self._together([(rows, layer.values) for rows, layer in layers])
            self._cache.update(keys, values, number)
        return torch.stack([logits[row] for row in range(len(lengths))])

    def _together(self, parts: Sequence[tuple[list[int], torch.Tensor]]) -> torch.Tensor:
        """Keys or values of all rows, [rows, heads, longest, width], of those of some rows at a time."""
        _, one = parts[0]
        out = one.new_zeros(len(self._prompts), one.shape[1], self._width, one.shape[3])
        for rows, states in parts:
            out[rows, :, self._width - states.shape[2] :] = states
        return out

    def take(self, rows: torch.Tensor) -> None:
        """Go on with these rows."""
        self._cache.batch_select_indices(rows)
        self._mask, self._position = self._mask[rows], self._position[rows]

    def next(self, token: torch.Tensor) -> torch.Tensor:
        """Logits after one more token of each row."""
        self._width += 1
        given = arguments(self._model, position_ids=self._position, logits_to_keep=1)
        mask = self._mask[:, : self._width]
        output = self._model(
            input_ids=token[:, None], attention_mask=mask, past_key_values=self._cache, use_cache=True, **given
        )
        self._position = self._position + 1
        return output.logits[:, -1].float()


class _Reread:
    """The rows of a batch as texts, all of which a model with another state than keys and values reads anew."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], steps: int) -> None:
        self._model, self._texts = model, [list(prompt) for prompt in prompts]

    def first(self) -> torch.Tensor:
        """As of `_Cached`."""
        return last_logits(self._model, self._texts, keep=1)[:, 0]

    def take(self, rows: torch.Tensor) -> None:
        """As of `_Cached`."""
        self._texts = [list(self._texts[i]) for i in rows.tolist()]

    def next(self, token: torch.Tensor) -> torch.Tensor:
        """As of `_Cached`."""
        for text, one in zip(self._texts, token.tolist(), strict=True):
            text.append(one)
        return self.first()


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
