"""What a method is, and methods by name: built-in, `module:Class`, `path/to/file.py:Class`, or an entry point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from superalign.config.schema import Config
from superalign.registry import METHODS, short_name
from superalign.weak_to_strong.base import History, Kind, Task, WeakLabels
from superalign.weak_to_strong.methods import imitation
from superalign.weak_to_strong.methods.imitation import Completions
from superalign.weak_to_strong.models.registry import Student
from superalign.weak_to_strong.split_context import Predictions, Specs, SplitContext

EVERY: Final[tuple[Kind, ...]] = ("classify", "pairs", "generate")
CLASSES: Final[tuple[Kind, ...]] = ("classify", "pairs")
USUAL: Final[dict[Kind, tuple[str, ...]]] = {
    "classify": ("naive", "confidence", "product", "filter", "ensemble", "bootstrap"),
    "pairs": ("naive", "confidence", "product", "filter", "ensemble", "bootstrap"),
    "generate": ("naive", "filter"),
}


@dataclass(frozen=True)
class Trained:
    """A student after its training.

    Attributes:
        outputs: P(class) on the rows that matter, or the completions of a generation task.
        history: of its training.
        student: the model, whose features are probed after training; None for policies.
    """

    outputs: Predictions | Completions
    history: History = field(default_factory=History)
    student: Student | None = None


class Method(Protocol):
    """How a student learns from weak labels. Derive from it and write `train`; the rest has defaults.

    A method with settings has a class `Settings` (a `Section`) in it and is made as `Class(settings)`.

    Attributes:
        labels: transforms of the weak labels before the training, for example `calibrate+filter:0.5`.
        kinds: of tasks that the method is for.
        policies: which of `specs` must be language models: 0 the supervisor, 1 the student.
    """

    labels: str = ""
    kinds: tuple[Kind, ...] = CLASSES
    policies: tuple[int, ...] = ()

    @abstractmethod
    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """A student trained on the labels of half 2.

        Args:
            context: the split, and models trained on it. Who opens a sealed label is shown as an oracle.
            labels: of half 2, after the transforms.
            specs: of supervisor and student.
        """
        ...

    def ceiling(self, context: SplitContext, strong: str) -> Predictions | Completions:
        """The same kind of student trained on the truth of half 2, for the gap to be measured against."""
        if context.experiment.kind == "generate":
            return imitation.ceiling(context, strong)
        return context.ceiling(strong)

    def check(self, config: Config, task: Task, specs: Specs) -> None:
        """Refuse, before anything is trained, what cannot work.

        Raises:
            UserError: the models or settings do not suit the method.
        """


def make_method(name: str, plugin: Mapping[str, Mapping[str, Any]] | None = None) -> Method:
    """The method of a name or reference, with its settings of `plugin`.

    Raises:
        UserError: there is none, it lacks what a method needs, or a setting of it is wrong.
    """
    method: Method = METHODS.make(name, plugin or {})
    return method


def methods_for(config: Config, kind: Kind) -> dict[str, Method]:
    """The methods asked for that a kind of task allows, by name; the usual ones where none is asked for."""
    made = {name: make_method(name, config.plugin) for name in config.method or USUAL[kind]}
    return {short_name(name): method for name, method in made.items() if kind in method.kinds}
