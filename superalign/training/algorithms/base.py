"""What a learner algorithm is: rows from a training batch, and a trainer on these rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from superalign.config.sections import LearnerConfig
from superalign.training.base import Phase, Rows
from superalign.training.batch import TrainingBatch

if TYPE_CHECKING:
    from datasets import Dataset

    from superalign.training.rows import AnchorStream

COMPLETIONS = ("completion_ids", "chosen_ids", "rejected_ids")
ROPO_ALPHA = 14.0  # arXiv 2404.04102


@dataclass
class TrainerSetup:
    """What a trainer of one phase is made from.

    Attributes:
        rows: of this phase.
        phase: its settings: what `phase` of the algorithm gave.
        anchors: rows to supervise beside each step.
        common: what every trainer of transformers takes: model, processing_class, optimizers.
        arguments: what every TRL config takes: batch size, epochs, learning rate, seeds.
        state: what the algorithm kept of this role when its last phase ended, None before the first.
        measured: figures of the phase that are no means over its steps; the algorithm adds to it.
    """

    rows: Rows
    phase: Any
    anchors: AnchorStream
    common: dict[str, Any]
    arguments: dict[str, Any]
    state: Any
    measured: dict[str, float]

    def dataset(self, *columns: str, rows: Rows | None = None) -> Dataset:
        """These columns of the rows, as TRL's trainers take them."""
        from datasets import Dataset

        return Dataset.from_list([{name: row[name] for name in columns} for row in rows or self.rows])


class LearnerAlgorithm(Protocol):
    """How the learner learns from a round; named by `learner=`.

    Rows are made in the learner's process, the trainer in the training service's. A trainer is one of transformers
    whose `history` has a dict of figures for each step, `loss` among them; `superalign.training.trainers.with_loss`
    makes one from any TRL trainer and a loss.

    Attributes:
        learns_from: `pairs` reads the batch's preferences, `responses` its scored responses.
        on_policy: whether it can learn from answers of the current policy alone; others also get those of earlier
            rounds on which a label came late.
    """

    learns_from: ClassVar[Literal["pairs", "responses"]]
    on_policy: ClassVar[bool]

    def __init__(self, settings: Any) -> None:
        """`settings`: an instance of the class's `Settings`, a subclass of `LearnerConfig`."""

    @abstractmethod
    def rows(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """Tokenised rows: prompt_ids, and completion_ids or chosen_ids and rejected_ids, and what the loss needs."""

    @abstractmethod
    def anchors(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """Further rows (prompt_ids, completion_ids) of this batch to supervise beside each step."""

    @abstractmethod
    def phase(self, learning_rate: float) -> Any:
        """The settings of one phase, as the trainer is told them."""

    @classmethod
    @abstractmethod
    def check(cls, rows: Rows, role: str) -> None:
        """Refuse rows that cannot be trained on.

        Raises:
            ValueError: a row lacks what the loss needs.
        """

    @classmethod
    @abstractmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """A trainer of one phase, ready to train."""

    @classmethod
    @abstractmethod
    def state(cls, trainer: Any, setup: TrainerSetup) -> Any:
        """What is to be kept of a role between phases beside adapter and optimizer, in terms of `torch.save`."""


class Algorithm:
    """A base for algorithms: settings as they are, no anchors of its own, nothing kept between phases."""

    Settings: ClassVar[type[LearnerConfig]] = LearnerConfig
    Phase: ClassVar[type[Phase] | None] = None
    learns_from: ClassVar[Literal["pairs", "responses"]] = "pairs"
    on_policy: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def anchors(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """None."""
        return []

    def phase(self, learning_rate: float) -> Any:
        """The fields of `Phase` from the section, or the whole section where the class has no `Phase`."""
        if self.Phase is None:
            return self.settings.model_copy(update={"learning_rate": learning_rate})
        return self.Phase.of(self.settings, learning_rate=learning_rate)

    @classmethod
    def check(cls, rows: Rows, role: str) -> None:
        """Every row is fine."""

    @classmethod
    def state(cls, trainer: Any, setup: TrainerSetup) -> Any:
        """Nothing."""
        return None


def weighted(rows: Rows, role: str, what: str) -> None:
    """Refuse rows without weight.

    Raises:
        ValueError: a row's w is not above 0.
    """
    if not all(row["w"] > 0 for row in rows):
        raise ValueError(f"{role}: every {what} needs a weight w > 0; leave out {what}s without weight")


def trained_tokens(rows: Sequence[Mapping[str, Any]], epochs: int) -> float:
    """Tokens that a phase on these rows goes through, anchors aside."""
    sizes = (len(row["prompt_ids"]) + len(row[name]) for row in rows for name in COMPLETIONS if name in row)
    return float(epochs * sum(sizes))
