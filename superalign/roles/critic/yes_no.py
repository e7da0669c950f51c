"""The log-odds of one word against another as the next token: a verdict as a probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.generation.base import Generator


def yes_no_log_odds(
    generator: Generator, role: str, prompts: Sequence[tuple[int, ...]], words: tuple[int, int]
) -> list[float]:
    """log p(first word) - log p(second word) after each prompt, in nats.

    Args:
        generator: serves the role.
        role: whose adapter judges.
        prompts: token ids.
        words: the token ids of the two words, for example those of "yes" and "no".
    """
    return [first - second for first, second in generator.choice_logits(role, prompts, list(words))]


def sigmoid(log_odds: float) -> float:
    """The probability of log-odds."""
    return float(1 / (1 + np.exp(-log_odds)))
