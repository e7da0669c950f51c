"""Further evaluations beside the held-out one; `evaluation.suites=` names them, a plug-in brings them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from superalign.config.schema import Config
from superalign.generation.base import Generator
from superalign.registry import SUITES
from superalign.roles.learner import Learner
from superalign.roles.protocols import Judge
from superalign.stats.estimate import Estimate


@dataclass(frozen=True)
class Examined:
    """Who is examined, and with what.

    Attributes:
        config: all settings.
        learner: answers requests (`respond`) with its weights of now.
        judge: grades answers, as in the rest of the evaluation.
        generator: for what is more than answering, for example the probabilities of choices; the learner's role in it
            is `learner`.
    """

    config: Config
    learner: Learner
    judge: Judge
    generator: Generator


class Suite(Protocol):
    """An evaluation of the learner; named by `evaluation.suites=`.

    A class that is made as `Class()`, or as `Class(settings)` where it has `Settings` (`plugin.NAME.KEY=value`).

    Attributes:
        name: what its figures begin with in records and reports.
    """

    name: str

    @abstractmethod
    def run(self, examined: Examined) -> dict[str, Estimate]:
        """Its figures, each with a 95 % interval, by names such as `accuracy`."""


def suite_figures(examined: Examined) -> dict[str, Estimate]:
    """The figures of every suite that the settings name, as `SUITE_FIGURE`.

    Raises:
        UserError: there is no such suite, or it lacks what a suite must have.
    """
    suites: list[Suite] = [SUITES.make(name, examined.config.plugin) for name in examined.config.evaluation.suites]
    return {f"{suite.name}_{name}": value for suite in suites for name, value in suite.run(examined).items()}
