"""How sure a verdict is: what other members of an ensemble say of the same item, at the price of asking each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from superalign.config.sections import AdapterCriticConfig
from superalign.generation.base import Generator, Tensors
from superalign.prompts.asks import Messages
from superalign.training.base import Trainer

Ask = Callable[[Messages], Messages]

SYSTEMS = (
    "Judge the answer of an assistant.",
    "Judge an assistant.",
    "Judge the answer.",
    "You judge the answers of an assistant.",
)
QUESTIONS = {
    "Is the answer acceptable?": ("Is this answer acceptable?", "Is it acceptable?", "Would you accept the answer?"),
    "Which answer is better?": ("Which is better?", "Which answer is the better one?", "Which one would you prefer?"),
}


def as_asked(messages: Messages) -> Messages:
    """The question in its usual words."""
    return messages


def paraphrase(number: int) -> Ask:
    """The question in other words; the request, the answers and the verdict words stay as they are."""

    def ask(messages: Messages) -> Messages:
        *before, user = messages
        text = user["content"]
        for usual, others in QUESTIONS.items():
            if text.endswith(usual):
                text = text.removesuffix(usual) + others[number % len(others)]
        if before and before[0]["content"] == SYSTEMS[0]:
            before = [before[0] | {"content": SYSTEMS[number % len(SYSTEMS)]}, *before[1:]]
        return [*before, user | {"content": text}]

    return ask


def dropped(tensors: Tensors, rate: float, seed: int) -> Tensors:
    """The adapter with each rank left out with probability `rate`, the others scaled up: what it adds is unbiased.

    A rank is a row of A with its column of B, so that leaving it out of B is enough (after LoRA dropout, arXiv
    2404.09610, and Monte Carlo dropout, arXiv 1506.02142).
    """
    rng = np.random.default_rng(seed)
    out = dict(tensors)
    for key in sorted(k for k in tensors if ".lora_B." in k):
        kept = rng.random(tensors[key].shape[1]) >= rate
        out[key] = (tensors[key] * kept / (1 - rate)).astype(tensors[key].dtype)
    return out


def asks(config: AdapterCriticConfig, role: str, generator: Generator, trainer: Trainer | None) -> Iterator[Ask]:
    """Each member's way of asking; a member of `dropout` is served for as long as it is the one yielded.

    Nobody where `critic.variance=views`; of a judge that is never trained nothing can be dropped.
    """
    if config.variance == "ensemble":
        yield from (paraphrase(number) for number in range(config.members))
    if config.variance == "dropout" and trainer is not None:
        whole, version = trainer.adapter(role), generator.versions()[role]
        try:
            for number in range(config.members):
                generator.load_adapter(role, dropped(whole, config.dropout, number), version)
                yield as_asked
        finally:
            generator.load_adapter(role, whole, version)


def squared_deviation(p: Sequence[float], others: Sequence[Sequence[float]]) -> list[float]:
    """Mean squared distance of the members' probabilities from the critic's own, of each item.

    From its own p and not from the members' mean: around a mean, variance is at most p(1-p), and escalation, which
    takes the larger of both, would never look at it.
    """
    if not others:
        return [0.0] * len(p)
    return np.mean((np.asarray(others) - np.asarray(p)) ** 2, axis=0).tolist()  # type: ignore[no-any-return]
