"""Completions of one prompt in one text: the prompt passes through the model once, and none sees another completion.

The two answers of a preference, or the rewritings of one request, have their prompt in common, which is often most of
what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from superalign.models.checks import accepted
from superalign.models.openings import pieces

CLOSE: Final = 0.1  # nats: what a log-probability may differ by, in bfloat16, on a model that can be packed
PROMPT, NOTHING = 0, -1  # segments of a packed text: completions are 1, 2, ...

_known: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def packed_logps(
    model: Any, ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, list[int]] | None:
    """Log-probabilities as of `token_logps` of those rows that share their prompt with others, and which these are.

    None where no rows do, or the model's attention cannot be told what it may see.
    """
    base = model.get_base_model()
    lengths, prompts = attention.sum(1).tolist(), (attention.sum(1) - mask.sum(1)).tolist()
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(tuple(ids[row, :prompt].tolist()), []).append(row)
    shared = [(prompt, rows) for prompt, rows in groups.items() if len(rows) > 1]
    if not shared or not can_be_packed(model):
        return None
    texts = [
        _Text(len(prompt), [(row, ids[row, len(prompt) : lengths[row]]) for row in rows]) for prompt, rows in shared
    ]
    heads = [ids[rows[0], : len(prompt)] for prompt, rows in shared]
    out = ids.new_zeros((len(ids), ids.shape[1] - 1), dtype=torch.float32)
    places: list[torch.Tensor] = []
    found: list[torch.Tensor] = []
    for _, chosen in pieces(base, [()] * len(texts), [text.length for text in texts], most=ids.numel()):
        logps = _run(model, [heads[i] for i in chosen], [texts[i] for i in chosen])
        found.append(logps)
        for text in (texts[i] for i in chosen):
            for row, completion in text.completions:
                first = row * out.shape[1] + text.prompt - 1
                places.append(torch.arange(first, first + len(completion), device=ids.device))
    logps = torch.cat(found)
    return out.to(logps.dtype).flatten().scatter(0, torch.cat(places), logps).view(out.shape), [
        row for _, rows in shared for row in rows
    ]


class _Text:
    """A prompt and the completions that follow it, each with its row."""

    def __init__(self, prompt: int, completions: Sequence[tuple[int, torch.Tensor]]) -> None:
        self.prompt, self.completions = prompt, completions
        self.length = prompt + sum(len(completion) for _, completion in completions)


def _run(model: Any, heads: Sequence[torch.Tensor], texts: Sequence[_Text]) -> torch.Tensor:
    """Log-probabilities of all completions' tokens, one completion after the other, [tokens]."""
    device, width = heads[0].device, max(text.length for text in texts)
    ids = torch.zeros(len(texts), width, dtype=torch.long, device=device)
    position, segment = torch.zeros_like(ids), torch.full_like(ids, NOTHING)
    before, labels = list[torch.Tensor](), list[torch.Tensor]()
    for line, (head, text) in enumerate(zip(heads, texts, strict=True)):
        end = text.prompt
        ids[line, :end], segment[line, :end] = head, PROMPT
        position[line, :end] = torch.arange(end, device=device)
        for number, (_, completion) in enumerate(text.completions, start=1):
            start, end = end, end + len(completion)
            ids[line, start:end], segment[line, start:end] = completion, number
            position[line, start:end] = torch.arange(text.prompt, text.prompt + len(completion), device=device)
            # The first token is told by the end of the prompt, each other by the one before it.
            sources = torch.arange(start - 1, end - 1, device=device)
            sources[0] = text.prompt - 1
            before.append(line * width + sources)
            labels.append(completion)
    place = torch.arange(width, device=device)
    earlier = place[:, None] >= place[None, :]
    sees = (segment[:, None, :] == PROMPT) | (segment[:, None, :] == segment[:, :, None])
    sees = (earlier & sees) | torch.eye(width, dtype=torch.bool, device=device)
    chosen = torch.cat(before)

    def cut(backbone: Any, given: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[chosen][None]
        return output

    handle = model.get_base_model().base_model.register_forward_hook(cut)
    try:
        output = model(
            input_ids=ids,
            attention_mask=sees[:, None],
            position_ids=position,
            shift_labels=torch.cat(labels)[None],
            use_cache=False,
            fused_lm_head=True,
        )
    finally:
        handle.remove()
    logps: torch.Tensor = output.log_probs[0]
    return logps


def can_be_packed(model: Any) -> bool:
    """Whether a model's attention sees what it is told to, tried once on a short text of each model."""
    base: PreTrainedModel = model.get_base_model()
    if base not in _known:
        _known[base] = _tried(model, base)
    return _known[base]


@torch.no_grad()
def _tried(model: Any, base: PreTrainedModel) -> bool:
    if not {"attention_mask", "position_ids"} <= accepted(type(base)) or base._is_stateful:
        return False
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=base.config).layers):
        return False  # windows that slide count places, not positions
    head = torch.tensor([5, 9, 7, 6, 8], device=base.device)
    completions = [torch.tensor(tokens, device=base.device) for tokens in ((11, 12, 13), (14, 15, 11, 5), (13, 9))]
    try:
        together = _run(model, [head], [_Text(len(head), list(enumerate(completions)))])
        apart = [_run(model, [head], [_Text(len(head), [(0, completion)])]) for completion in completions]
    except (ValueError, RuntimeError, TypeError):  # what models raise that take no such mask
        return False
    return bool((together - torch.cat(apart)).abs().max() < CLOSE)
