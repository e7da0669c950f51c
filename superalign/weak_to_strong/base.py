"""What tasks, supervisors, students and the scorer exchange: rows, weak labels, sealed ground truth, histories."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["classify", "pairs", "generate"]


@dataclass(frozen=True, slots=True)
class Text:
    """A user's words and, where the row has one, the assistant's answer to them.

    One-part texts (a comment, a clause) are a prompt alone; a premise with a hypothesis, or a question with a proposed
    answer, is a prompt with a response.
    """

    prompt: str
    response: str = ""


Inputs = NDArray[np.float32] | tuple[Text, ...]


@dataclass(frozen=True)
class Rows:
    """Examples without their ground truth.

    Attributes:
        ids: one unique id per row.
        groups: rows of one group (a question, a premise, a prompt) never straddle a split.
        inputs: vectors [n, d], or one `Text` per row; of pairs, the first response; of generations, the prompt.
        seconds: of pairs only, the second response.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    inputs: Inputs
    seconds: Inputs | None = None

    def __post_init__(self) -> None:
        sizes = {
            len(self.ids),
            len(self.groups),
            len(self.inputs),
            len(self.ids if self.seconds is None else self.seconds),
        }
        if len(sizes) != 1:
            raise ValueError(f"ids, groups, inputs and seconds differ in length: {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: ArrayLike) -> Self:
        """The rows at the given positions, in that order."""
        where = np.asarray(index, dtype=np.int64)

        def pick(values: Inputs) -> Inputs:
            return values[where] if isinstance(values, np.ndarray) else tuple(values[i] for i in where)

        return replace(
            self,
            ids=tuple(self.ids[i] for i in where),
            groups=tuple(self.groups[i] for i in where),
            inputs=pick(self.inputs),
            seconds=None if self.seconds is None else pick(self.seconds),
        )

    def digest(self) -> str:
        """A hash of everything in the rows: what cached results are filed under."""
        made = hashlib.sha256()
        for values in (self.inputs, self.seconds):
            if isinstance(values, np.ndarray):
                made.update(np.ascontiguousarray(values).tobytes())
            else:
                made.update(repr(values).encode())
        made.update(repr((self.ids, self.groups)).encode())
        return made.hexdigest()[:16]


class GroundTruth:
    """Labels behind a seal: every opening is written down and cannot be taken back.

    A method is shown as an oracle if any seal was opened while it trained, under whatever name. This finds mistakes and
    honest oracles. It is no wall against code that means to cheat: what runs in this process can read all its memory,
    the cache of ceilings, and the data set itself.
    """

    def __init__(self, labels: ArrayLike) -> None:
        self.__labels = np.asarray(labels)
        self.__opened_by: list[str] = []

    @property
    def opened_by(self) -> list[str]:
        """The names of those who opened the labels, in order."""
        return list(self.__opened_by)

    def open(self, who: str) -> NDArray[Any]:
        """The labels, against a name."""
        self.__opened_by.append(who)
        return self.__labels.copy()

    def __len__(self) -> int:
        return len(self.__labels)

    def __array__(self, *_: object, **__: object) -> NDArray[Any]:
        raise TypeError("ground truth is sealed: only a scorer may open it")

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        raise TypeError("ground truth is sealed: a copy could be opened unseen")


@dataclass(frozen=True)
class Task:
    """A task's rows with their ground truth.

    Attributes:
        name: what the task is called on the command line.
        kind: classify (`classes` and `labels`), pairs (label 1: the first response is the better one), or generate
            (`grade` says how good a completion of row i is).
        labels: class of each row, shape (n,); of generations the row's category (for instance benign 0, harmful 1).
        classes: the names of the classes.
        targets: of generations, the completion that a supervisor is trained on.
        grade: of generations, (row id, completion) -> grades by name in [0, 1]; "accuracy" is the main one.
        attacked: the same rows under an attack that does not change what is right, where the task has one.
        via: models that method=bootstrap goes through, where the settings name none.
    """

    name: str
    kind: Kind
    rows: Rows
    labels: Ints
    classes: tuple[str, ...]
    targets: tuple[str, ...] | None = None
    grade: Callable[[str, str], dict[str, float]] | None = None
    attacked: Rows | None = None
    via: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeakLabels:
    """A supervisor's labels of some rows: one interface for classes, pairs, rewards and generations.

    A reward r gives P(first is better) = sigma(r(first) - r(second)).

    Attributes:
        probabilities: P(class) of each row, shape (n, classes); of pairs, column 1 is P(the first is better).
        weights: how much each row counts in training, shape (n,); 0 leaves it out.
        provenance: the supervisor and the transforms, in order.
        texts: of generations, the completion of each row.
    """

    probabilities: Floats
    weights: Floats
    provenance: tuple[str, ...]
    texts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or len(self.probabilities) != len(self.weights):
            raise ValueError(f"probabilities {self.probabilities.shape} do not fit {len(self.weights)} weights")
        if not np.isfinite(self.probabilities).all() or not np.isfinite(self.weights).all():
            raise ValueError("weak labels hold NaN or infinity")

    @classmethod
    def of(cls, probabilities: ArrayLike, source: str, **more: Any) -> Self:
        """Labels of equal weight from one supervisor."""
        p = np.asarray(probabilities, dtype=np.float64)
        return cls(p, np.ones(len(p)), (source,), **more)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def hard(self) -> Ints:
        """The likeliest class of each row, shape (n,)."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    @property
    def confidence(self) -> Floats:
        """The probability of the likeliest class of each row, shape (n,)."""
        return np.asarray(self.probabilities.max(1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a student is trained: AdamW, cosine decay of the rate to zero.

    `micro_batch` rows are forwarded at a time (0: the whole batch); it changes memory and not the result.
    `validation` is the share of the labelled rows held out for stopping early, on agreement with the labels given
    (0: the last step is kept).
    """

    epochs: int = 30
    learning_rate: float = 1e-2
    batch_size: int = 64
    micro_batch: int = 0
    weight_decay: float = 0.0
    validation: float = 0.0
    curve_points: int = 10


@dataclass
class History:
    """What one fit left behind.

    Attributes:
        loss: of each optimizer step.
        steps: the steps at which the watched rows were predicted; never looks at a label.
        watched: the predicted classes at those steps, shape (len(steps), watched rows).
        notes: what the user must know (a collapse, an early stop).
        seconds: wall time.
    """

    loss: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    watched: list[Ints] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
