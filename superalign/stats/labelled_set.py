"""Answers whose right verdict is known: what a critic or judge is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LabelledSet:
    """Cases (query, response, category) with their right verdicts (1 acceptable, 0 not), by cluster.

    `against` says whose verdicts are taken as right, `weights` make cases drawn with unequal chances stand for all.
    """

    against: str
    cases: Sequence[tuple[str, str, str]]
    truth: Sequence[float]
    clusters: Sequence[str]
    weights: Sequence[float] | None = None

    @classmethod
    def on_probes(cls, probes: Sequence[Probe]) -> LabelledSet:
        """On answers of every kind that an exact judge has graded."""
        cases = [(probe.query, probe.response, probe.category) for probe in probes]
        truth, clusters = [probe.acceptable for probe in probes], [probe.cluster for probe in probes]
        return cls("the judge's verdicts on the testbed's probes", cases, truth, clusters)


@dataclass(frozen=True, slots=True)
class Probe:
    """A response whose right verdict is known: what the critic's accuracy is measured on."""

    query: str
    response: str
    category: str
    acceptable: float
    cluster: str
