"""Tokenised rows on their way into a model: padding, an endless shuffle of anchors, log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from superalign.training import distributed
from superalign.training.base import Rows
from superalign.training.micro_batching import in_parts


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


def token_logps(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Log-probability of each token of the completions, zero elsewhere; [rows, longest - 1]."""

    def run(ids: torch.Tensor, attention: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = model(
            input_ids=ids,
            attention_mask=attention,
            labels=ids.masked_fill(mask == 0, -100),
            use_cache=False,
            fused_lm_head=True,
        )
        logps: torch.Tensor = output.log_probs
        return logps

    mine = (distributed.share(inputs[name]) for name in ("input_ids", "attention_mask", "completion_mask"))
    return distributed.whole(torch.cat(in_parts(model, run, *mine)), len(inputs["input_ids"]))


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


class AnchorStream:
    """Anchor rows (prompt_ids, completion_ids) in an endless shuffle, `size` at a time or as many as there are.

    Answers supervised beside each step: a policy that learns one thing does not forget the others.
    """

    def __init__(self, rows: Rows, size: int, seed: int) -> None:
        self._rows, self._size = rows, min(size, len(rows))
        self._rng = np.random.default_rng(seed)
        self._upcoming: list[int] = []

    def draw(self) -> list[tuple[list[int], list[int]]]:
        """The next (prompt, completion) rows; advances the shuffle."""
        while len(self._upcoming) < self._size:
            self._upcoming += self._rng.permutation(len(self._rows)).tolist()
        drawn, self._upcoming = self._upcoming[: self._size], self._upcoming[self._size :]
        return [(self._rows[i]["prompt_ids"], self._rows[i]["completion_ids"]) for i in drawn]

    def loss(self, model: Any, device: torch.device) -> torch.Tensor | None:
        """Mean negative log-likelihood (nats) over all tokens of the next rows; None where there are none."""
        rows = self.draw()
        if not rows:
            return None
        inputs = {name: value.to(device) for name, value in pad_rows(rows).items()}
        return -token_logps(model, inputs).sum() / inputs["completion_mask"].sum()
