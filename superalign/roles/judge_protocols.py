"""What a judge can have beside outcomes (`protocols.Judge`), which the evaluation uses where it is there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from superalign.data.judged_dimensions import JudgedDimensions
from superalign.roles.protocols import Case


@runtime_checkable
class JudgesDimensions(Protocol):
    """A judge that believes something of each dimension of the policy, such as `complies`.

    Attributes:
        threshold: of P(complies), from which on its outcomes are no refusal; answers with known verdicts can move it.
    """

    threshold: float

    @abstractmethod
    def believed(self, cases: Sequence[Case]) -> list[Mapping[str, float]]:
        """P by dimension of each answer; the dimensions are the same for all."""


@runtime_checkable
class HoldsLabels(Protocol):
    """A judge that has kept back some of the labels that taught it, to be checked on them."""

    held_labels: Sequence[JudgedDimensions]
