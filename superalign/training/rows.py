"""Tokenised rows on their way into a model: padding, an endless shuffle of anchors, log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from superalign.models.openings import is_large, pieces
from superalign.training import distributed
from superalign.training.base import Rows
from superalign.training.micro_batching import in_parts
from superalign.training.packing import packed_logps


def pad_rows(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, torch.Tensor]:
    """Right-padded (prompt, completion) rows: input_ids, attention_mask and completion_mask, all [rows, longest]."""
    width = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids, attention, mask = np.zeros((3, len(rows), width), dtype=np.int64)
    for row, (prompt, completion) in enumerate(rows):
        start, end = len(prompt), len(prompt) + len(completion)
        ids[row, :end] = [*prompt, *completion]
        attention[row, :end] = 1
        mask[row, start:end] = 1
    arrays = {"input_ids": ids, "attention_mask": attention, "completion_mask": mask}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def token_logps(model: Any, inputs: dict[str, torch.Tensor], apart: bool = True) -> torch.Tensor:
    """Log-probability of each token of the completions, zero elsewhere; [rows, longest - 1].

    On a CPU a large model reads a prompt that rows share once and runs rows of like length together, unless rows must
    not be taken `apart`, and its output head at the completions alone; on a GPU TRL sees to the latter.
    """
    ids, attention, mask = (
        distributed.share(inputs[name]) for name in ("input_ids", "attention_mask", "completion_mask")
    )
    run = partial(_at_all_positions, model)
    if ids.device.type == "cpu" and is_large(model.get_base_model()):
        run = partial(_at_completions, model)
        if apart and distributed.count() == 1:  # workers that share a model must run it equally often
            run = partial(_in_texts, model, partial(_by_length, model, run))
    return distributed.whole(torch.cat(in_parts(model, run, ids, attention, mask)), len(inputs["input_ids"]))


def _at_all_positions(model: Any, ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """As of `token_logps`."""
    output = model(
        input_ids=ids,
        attention_mask=attention,
        labels=ids.masked_fill(mask == 0, -100),
        use_cache=False,
        fused_lm_head=True,
    )
    logps: torch.Tensor = output.log_probs
    return logps


def _at_completions(model: Any, ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """As of `token_logps`: TRL's head is handed the states before the completions' tokens as one text."""
    chosen = mask[:, 1:] == 1

    def cut(backbone: Any, given: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[:, :-1][chosen][None]
        return output

    handle = model.get_base_model().base_model.register_forward_hook(cut)
    try:
        labels = ids[:, 1:][chosen][None]
        output = model(
            input_ids=ids, attention_mask=attention, shift_labels=labels, use_cache=False, fused_lm_head=True
        )
    finally:
        handle.remove()
    logps: torch.Tensor = output.log_probs.new_zeros(chosen.shape).masked_scatter(chosen, output.log_probs)
    return logps


def _in_texts(
    model: Any, run: Callable[..., torch.Tensor], ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """As of `token_logps`: rows with a prompt in common as one text, and the others by `run`."""
    found = packed_logps(model, ids, attention, mask)
    if found is None:
        return run(ids, attention, mask)
    logps, packed = found
    rest = sorted(set(range(len(ids))) - set(packed))
    if not rest:
        return logps
    return logps.index_copy(0, torch.tensor(rest), run(ids[rest], attention[rest], mask[rest]).to(logps.dtype))


def _by_length(
    model: Any, run: Callable[..., torch.Tensor], ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """What `run` makes of rows of like length at a time, without the padding of longer ones."""
    lengths: list[int] = attention.sum(1).tolist()
    order, found = list[int](), list[torch.Tensor]()
    for _, rows in pieces(model.get_base_model(), [()] * len(ids), lengths, most=ids.numel()):
        width = max(lengths[row] for row in rows)
        logps = run(*(tensor[rows, :width] for tensor in (ids, attention, mask)))
        found.append(torch.nn.functional.pad(logps, (0, ids.shape[1] - width)))
        order += rows
    return torch.cat(found)[torch.tensor(order).argsort()]


@torch.no_grad()
def completion_logps(model: Any, rows: Rows, size: int = 64) -> list[torch.Tensor]:
    """Log-probability of each token of the rows' completions, `size` rows at a time; one vector for each row."""
    found = []
    for part in (rows[i : i + size] for i in range(0, len(rows), size)):
        inputs = pad_rows([(row["prompt_ids"], row["completion_ids"]) for row in part])
        logps = token_logps(model, {name: value.to(model.device) for name, value in inputs.items()}).cpu()
        for place, row in enumerate(part):
            start = len(row["prompt_ids"]) - 1
            found.append(logps[place, start : start + len(row["completion_ids"])])
    return found


def mismatch_kl(model: Any, rows: Rows) -> float:
    """Mean over tokens of exp(d) - 1 - d, d = log-probability by `model` minus the recorded one; see the service."""
    here = completion_logps(model, rows)
    gap = torch.cat([own - torch.tensor(row["logprobs"]) for own, row in zip(here, rows, strict=True)]).double()
    return float((gap.expm1() - gap).mean())


def anchor_losses(logps: torch.Tensor, recorded: torch.Tensor, retained_weight: float) -> torch.Tensor:
    """Of each token of the anchors the negative log-likelihood (nats), or how far it changed; [rows, longest - 1].

    Where it is on record how likely a token was, its loss is retained_weight / 2 * (log-ratio)^2. Over answers of the
    policy on record that is the KL divergence from it to second order (k2 of Schulman 2020,
    http://joschu.net/blog/kl-approx.html), and 0 where nothing changed, however few the answers are.

    Args:
        logps: of the completions' tokens, zero elsewhere, [rows, longest - 1].
        recorded: as `recorded_logps` gives it, [rows, longest - 1].
        retained_weight: see above.
    """
    gap = logps - recorded.nan_to_num()
    return torch.where(recorded.isnan(), -logps, retained_weight / 2 * gap**2)


def recorded_logps(rows: Rows, width: int) -> torch.Tensor:
    """The `logprobs` of each row at its completion's tokens, zero elsewhere, all NaN without; [rows, width - 1]."""
    found = torch.full((len(rows), width - 1), torch.nan)
    for place, row in enumerate(rows):
        if (known := row.get("logprobs")) is not None:
            start = len(row["prompt_ids"]) - 1
            found[place] = 0.0
            found[place, start : start + len(known)] = torch.tensor(known)
    return found


def pad_with_anchors(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]], anchors: AnchorStream
) -> dict[str, torch.Tensor]:
    """`pad_rows` of these rows and of the next anchors, with what is `recorded` of the latter."""
    drawn = anchors.draw()
    batch = pad_rows([*rows, *texts_of(drawn)])
    return batch | {"recorded": recorded_logps(drawn, batch["input_ids"].shape[1])}


def texts_of(rows: Rows) -> list[tuple[list[int], list[int]]]:
    """(prompt, completion) of each row."""
    return [(row["prompt_ids"], row["completion_ids"]) for row in rows]


class AnchorStream:
    """Anchor rows in an endless shuffle, `size` at a time or as many as there are.

    Answers supervised beside each step: a policy that learns one thing does not forget the others.

    Args:
        rows: prompt_ids, completion_ids, and `logprobs` where the policy is to stay as it was.
        size: how many at a time.
        seed: of the shuffle.
        retained_weight: see `anchor_losses`.
    """

    def __init__(self, rows: Rows, size: int, seed: int, retained_weight: float = 0.0) -> None:
        self._rows, self._size, self._retained_weight = rows, min(size, len(rows)), retained_weight
        self._rng = np.random.default_rng(seed)
        self._upcoming: list[int] = []

    def draw(self) -> list[dict[str, Any]]:
        """The next rows; advances the shuffle."""
        while len(self._upcoming) < self._size:
            self._upcoming += self._rng.permutation(len(self._rows)).tolist()
        drawn, self._upcoming = self._upcoming[: self._size], self._upcoming[self._size :]
        return [self._rows[i] for i in drawn]

    def loss(self, model: Any, device: torch.device) -> torch.Tensor | None:
        """Mean of `anchor_losses` over all tokens of the next rows, a scalar; None where there are none."""
        rows = self.draw()
        if not rows:
            return None
        inputs = {name: value.to(device) for name, value in pad_rows(texts_of(rows)).items()}
        logps = token_logps(model, inputs)
        recorded = recorded_logps(rows, inputs["input_ids"].shape[1]).to(device)
        return anchor_losses(logps, recorded, self._retained_weight).sum() / inputs["completion_mask"].sum()
