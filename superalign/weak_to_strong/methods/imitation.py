"""Generations: the supervisor completes, the student imitates its completions (arXiv 2312.09390 §4.1, chess)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.weak_to_strong.base import Floats, WeakLabels
from superalign.weak_to_strong.cache import Arrays
from superalign.weak_to_strong.models.policy import Policy, model_of
from superalign.weak_to_strong.split_context import Lab


@dataclass(frozen=True)
class Said:
    """Completions of one model on the rows that matter; `confidence` in those of half 2, shape (len(half2),)."""

    half2: tuple[str, ...]
    confidence: Floats
    test: tuple[str, ...]
    attacked: tuple[str, ...] | None = None

    @classmethod
    def by(cls, policy: Policy, lab: Lab) -> Said:
        """Ask a policy."""
        e = lab.experiment
        half2, confidence = policy.complete(e.half2)
        attacked = None if e.attacked is None else tuple(policy.complete(e.attacked)[0])
        return cls(tuple(half2), confidence, tuple(policy.complete(e.test)[0]), attacked)

    def arrays(self) -> Arrays:
        """The completions by name, as the cache keeps them."""
        named = {"half2": np.array(self.half2), "confidence": self.confidence, "test": np.array(self.test)}
        return named if self.attacked is None else {**named, "attacked": np.array(self.attacked)}

    @classmethod
    def of(cls, arrays: Arrays) -> Said:
        """Read back what `arrays` gave."""
        attacked = arrays.get("attacked")
        return cls(
            tuple(arrays["half2"].tolist()),
            arrays["confidence"],
            tuple(arrays["test"].tolist()),
            None if attacked is None else tuple(attacked.tolist()),
        )


def supervise(lab: Lab, spec: str) -> Said:
    """The weak model finetuned on the completions of half 1."""
    e = lab.experiment
    return _cached(lab, "weak_texts", spec, lambda: imitation(lab, spec, e.targets1, np.ones(len(e.half1)), first=True))


def ceiling(lab: Lab, spec: str) -> Said:
    """The strong model finetuned on the true completions of half 2."""
    e = lab.experiment
    targets = e.targets2.open("ceiling").tolist()
    return _cached(lab, "ceiling_texts", spec, lambda: imitation(lab, spec, targets, np.ones(len(e.half2))))


def weak_labels(said: Said, source: str) -> WeakLabels:
    """The completions as weak labels: one column, the model's confidence in its completion."""
    return WeakLabels.of(said.confidence[:, None], source, texts=said.half2)


def imitation(lab: Lab, spec: str, texts: Sequence[str], weights: Floats, first: bool = False) -> Said:
    """What a fresh model says after finetuning on completions of half 2 (or of half 1: `first`)."""
    policy = Policy(model_of(spec, f"task={lab.experiment.name}"), lab.config, lab.seed)
    policy.imitate(lab.experiment.half1 if first else lab.experiment.half2, texts, weights)
    return Said.by(policy, lab)


def _cached(lab: Lab, what: str, spec: str, make: Callable[[], Said]) -> Said:
    return Said.of(lab.cache.get(what, lab.policy_key(spec), lambda: make().arrays()))
