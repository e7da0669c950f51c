"""Generation: the supervisor completes, the student imitates its completions (arXiv 2312.09390 section 4.1, chess)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.weak_to_strong.base import Floats, WeakLabels
from superalign.weak_to_strong.cache import Arrays
from superalign.weak_to_strong.models.policy import Policy, model_of
from superalign.weak_to_strong.split_context import SplitContext


@dataclass(frozen=True)
class Completions:
    """Completions by one model on the rows that matter.

    Attributes:
        half2, test, attacked: one completion of each row.
        confidence: of those of half 2, shape (len(half2),).
    """

    half2: tuple[str, ...]
    confidence: Floats
    test: tuple[str, ...]
    attacked: tuple[str, ...] | None = None

    @classmethod
    def by(cls, policy: Policy, context: SplitContext) -> Completions:
        """The greedy completions of a policy."""
        e = context.experiment
        half2, confidence = policy.complete(e.half2)
        attacked = None if e.attacked is None else tuple(policy.complete(e.attacked)[0])
        return cls(tuple(half2), confidence, tuple(policy.complete(e.test)[0]), attacked)

    def arrays(self) -> Arrays:
        """The completions by name, as the cache keeps them."""
        named = {"half2": np.array(self.half2), "confidence": self.confidence, "test": np.array(self.test)}
        return named if self.attacked is None else {**named, "attacked": np.array(self.attacked)}

    @classmethod
    def of(cls, arrays: Arrays) -> Completions:
        """Read back what `arrays` gave."""
        attacked = arrays.get("attacked")
        return cls(
            tuple(arrays["half2"].tolist()),
            arrays["confidence"],
            tuple(arrays["test"].tolist()),
            None if attacked is None else tuple(attacked.tolist()),
        )


def supervise(context: SplitContext, spec: str) -> Completions:
    """The weak model finetuned on the completions of half 1."""
    e = context.experiment
    return _cached(
        context, "weak_texts", spec, lambda: imitation(context, spec, e.targets1, np.ones(len(e.half1)), first=True)
    )


def ceiling(context: SplitContext, spec: str) -> Completions:
    """The strong model finetuned on the true completions of half 2."""
    e = context.experiment
    targets = e.targets2.open("ceiling").tolist()
    return _cached(context, "ceiling_texts", spec, lambda: imitation(context, spec, targets, np.ones(len(e.half2))))


def weak_labels(completions: Completions, supervisor: str) -> WeakLabels:
    """The completions as weak labels: one column, the model's confidence in its completion."""
    return WeakLabels.of(completions.confidence[:, None], supervisor, texts=completions.half2)


def imitation(
    context: SplitContext, spec: str, texts: Sequence[str], weights: Floats, first: bool = False
) -> Completions:
    """The completions of a fresh model that was finetuned on completions of half 2 (or of half 1: `first`)."""
    policy = Policy(model_of(spec, f"task={context.experiment.name}"), context.config, context.seed)
    policy.imitate(context.experiment.half1 if first else context.experiment.half2, texts, weights)
    return Completions.by(policy, context)


def _cached(context: SplitContext, what: str, spec: str, make: Callable[[], Completions]) -> Completions:
    return Completions.of(context.cache.get(what, context.policy_key(spec), lambda: make().arrays()))
