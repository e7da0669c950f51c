"""Hidden states of texts, pooled to three vectors of each chosen layer: what probes read.

Padding stands behind the text, where no causal model sees it, be its state a key-value cache or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from superalign.errors import UserError
from superalign.models.checks import arguments
from superalign.models.lengths import check_texts

PLACES = ("end of the prompt", "end of the completion", "mean over the completion")
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
) -> torch.Tensor:
    """The states of a batch at `PLACES`, float32, [rows, 3, layers, width].

    Args:
        model: what is run.
        layers: indices into its hidden states: 0 are the embeddings, the last is what the output head reads.
        ids: texts, right-padded, [rows, longest].
        starts: tokens of each prompt, [rows].
        ends: tokens of each prompt with its completion, [rows].
        run: what is called in its place, where calls pass through a wrapper.
    """
    given = arguments(model, logits_to_keep=1)  # the head's products over all positions would be for nothing
    states = (run or model)(input_ids=ids, use_cache=False, output_hidden_states=True, **given).hidden_states
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

    Equal texts are read once. `told` is told after each batch how many texts are done.

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
    pool = pool or (lambda *batch: pooled(model, layers, *batch))
    most = min(most_tokens, ROOM // ((1 + config.num_hidden_layers) * config.hidden_size))
    texts: list[Text] = [(tuple(p), tuple(c)) for p, c in zip(prompts, completions, strict=True)]
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    out = np.empty((len(place), len(PLACES), len(layers), config.hidden_size), dtype=np.float32)
    done = 0
    for batch in _batches(list(place), most):
        ids = torch.zeros(len(batch), max(map(_length, batch)), dtype=torch.long)
        for row, (prompt, completion) in enumerate(batch):
            ids[row, : len(prompt) + len(completion)] = torch.tensor([*prompt, *completion])
        starts, ends = torch.tensor([len(prompt) for prompt, _ in batch]), torch.tensor([*map(_length, batch)])
        states = pool(*(tensor.to(model.device) for tensor in (ids, starts, ends)))
        out[[place[text] for text in batch]] = states.cpu().numpy()
        done += len(batch)
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


def _batches(texts: Sequence[Text], most: int) -> list[list[Text]]:
    """Texts of similar length together, at most so many tokens when padded; at least one text."""
    found: list[list[Text]] = []
    for text in sorted(texts, key=_length):
        if not found or (len(found[-1]) + 1) * _length(text) > most:
            found.append([])
        found[-1].append(text)
    return found


def _length(text: Text) -> int:
    return len(text[0]) + len(text[1])
