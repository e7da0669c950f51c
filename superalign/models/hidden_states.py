"""Hidden states of texts, pooled to three vectors of each chosen layer: what probes read.

Padding stands behind the text, where no causal model sees it, be its state a key-value cache or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel

from superalign.errors import UserError
from superalign.models.caches import has_cache
from superalign.models.checks import arguments
from superalign.models.lengths import check_texts
from superalign.models.openings import Opening, pieces

PLACES = ("end of the prompt", "end of the completion", "mean over the completion")
ALONE = 1  # token: a batch has one text at least
ROOM = 2**26  # numbers in all layers' states of one batch: the forward gives them all

Text = tuple[tuple[int, ...], tuple[int, ...]]
Pool = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def pooled(
    model: PreTrainedModel,
    layers: Sequence[int],
    ids: torch.Tensor,
    starts: torch.Tensor,
    ends: torch.Tensor,
    run: Callable[..., Any] | None = None,
    opening: Opening | None = None,
) -> torch.Tensor:
    """The states of a batch at `PLACES`, float32, [rows, 3, layers, width].

    Args:
        model: what is run.
        layers: indices into its hidden states: 0 are the embeddings, the last is what the output head reads.
        ids: texts, right-padded, [rows, longest].
        starts: tokens of each prompt, [rows].
        ends: tokens of each prompt with its completion, [rows].
        run: what is called in its place, where calls pass through a wrapper.
        opening: what all prompts begin with and go on after; it is not read again.
    """
    none = torch.empty(0, dtype=torch.long, device=ids.device)
    given = arguments(model, logits_to_keep=none)  # the head would work for nothing
    if opening is not None:
        read = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        cache, known = DynamicCache(), len(opening)
        opening.fill(cache, read[:, :known])
        given |= arguments(model, past_key_values=cache, position_ids=read[:, known:])
        ids, starts, ends = ids[:, known:], starts - known, ends - known
    given["use_cache"] = opening is not None
    if run is None and (blocks := _blocks(model)) is not None and max(layers) < len(blocks):
        states = _states_until(model, blocks, layers, input_ids=ids, **given)
    else:
        every = (run or model)(input_ids=ids, output_hidden_states=True, **given).hidden_states
        states = {layer: every[layer] for layer in layers}
    place = torch.arange(ids.shape[1], device=ids.device)
    begins = torch.minimum(starts, ends - 1)  # an empty completion has the states of its prompt's end
    within = (place >= begins[:, None]) & (place < ends[:, None])
    weights = within / within.sum(1, keepdim=True)
    rows = torch.arange(len(ids), device=ids.device)
    found = []
    for layer in layers:
        state = states[layer].float()
        mean = torch.bmm(weights[:, None], state)[:, 0]
        found.append(torch.stack([state[rows, starts - 1], state[rows, ends - 1], mean], dim=1))
    return torch.stack(found, dim=2)


class _Enough(Exception):
    """The deepest layer that is read has been computed."""


def _blocks(model: PreTrainedModel) -> torch.nn.ModuleList | None:
    """The layers of a model in their order; None where they do not stand in one list, or a state is no such output.

    Mamba and RWKV count their first layer's output as hidden state 0.
    """
    if not has_cache(model):
        return None
    count = model.config.get_text_config().num_hidden_layers
    found = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == count]
    return found[0] if len(found) == 1 else None


def _states_until(
    model: PreTrainedModel, blocks: torch.nn.ModuleList, layers: Sequence[int], **given: Any
) -> dict[int, torch.Tensor]:
    """The states that layers hand on, without computing those that lie deeper."""
    found: dict[int, torch.Tensor] = {}
    deepest = max(layers)

    def keep(layer: int, state: Any) -> None:
        found[layer] = state[0] if isinstance(state, tuple) else state
        if layer == deepest:
            raise _Enough

    hooks = [
        blocks[layer - 1].register_forward_hook(lambda _, args, out, layer=layer: keep(layer, out))
        if layer
        else blocks[0].register_forward_pre_hook(lambda _, args: keep(0, args))
        for layer in set(layers)
    ]
    try:
        model(**given)
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.no_grad()
def hidden_states(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    completions: Sequence[tuple[int, ...]],
    layers: Sequence[int],
    context: int,
    most_tokens: int = ROOM,
    pool: Pool | None = None,
    told: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """The pooled states of texts, [texts, 3, layers, width], in batches of similar length; see `pooled`.

    On a CPU each text is read alone, so that its states do not depend, by rounding, on what it is read with: what is
    remembered of a text and what is read anew after a resumption are the same to the bit. Equal texts are read once.
    `told` is told after each batch how many texts are done.

    Args:
        model: whose states.
        prompts, completions: token ids of each text; a prompt has one at least.
        layers: see `pooled`.
        context: tokens that a text can have.
        most_tokens: of one padded batch.
        pool: what gives the states of a batch (ids, starts, ends); the model itself by default.

    Raises:
        UserError: the model has no such layer, a text does not fit the context, or a state is NaN.
    """
    check_texts(prompts, completions, context)
    config = model.config.get_text_config()
    check_layers(layers, config.num_hidden_layers)
    most = min(most_tokens, ROOM // ((1 + config.num_hidden_layers) * config.hidden_size))
    alone = model.device.type == "cpu"
    most = ALONE if alone else most
    texts: list[Text] = [(tuple(p), tuple(c)) for p, c in zip(prompts, completions, strict=True)]
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    unique, lengths = list(place), [len(prompt) + len(completion) for prompt, completion in place]
    out = np.empty((len(unique), len(PLACES), len(layers), config.hidden_size), dtype=np.float32)
    done = 0
    heads = [() if pool or alone else prompt[:-1] for prompt, _ in unique]
    for opening, rows in pieces(model, heads, lengths, most):
        ids = torch.zeros(len(rows), max(lengths[row] for row in rows), dtype=torch.long)
        for line, row in enumerate(rows):
            ids[line, : lengths[row]] = torch.tensor([token for part in unique[row] for token in part])
        starts, ends = torch.tensor([(len(unique[row][0]), lengths[row]) for row in rows]).T
        ids, starts, ends = (tensor.to(model.device) for tensor in (ids, starts, ends))
        states = pool(ids, starts, ends) if pool else pooled(model, layers, ids, starts, ends, opening=opening)
        out[rows] = states.cpu().numpy()
        done += len(rows)
        told(done)
    if np.isnan(out).any():
        raise UserError(
            "the hidden states are NaN: the model's weights were sound when they were loaded, so its adapter is not, "
            "or generator.dtype and trainer.dtype are too narrow"
        )
    return out[[place[text] for text in texts]]


def check_layers(layers: Sequence[int], count: int) -> None:
    """Refuse layers that a model of `count` layers does not have.

    Raises:
        UserError: as described.
    """
    for layer in layers:
        if not 0 <= layer <= count:
            raise UserError(
                f"layer {layer}: the model has hidden states 0 (its embeddings) to {count} (after its last layer)"
            )
