"""One split of a task, and the models trained on it: supervisors, students, ceilings; what costs much is cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.config.schema import Config
from superalign.weak_to_strong.base import FitSettings, Floats, History, Ints, Rows, WeakLabels
from superalign.weak_to_strong.cache import Arrays, Cache
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.features import layered
from superalign.weak_to_strong.models.losses import CrossEntropy, Objective
from superalign.weak_to_strong.models.registry import Student, make_student
from superalign.weak_to_strong.protocol import Experiment, folds, one_hot, right

Specs = tuple[str, str]  # of supervisor and student

# What suits a kind of model where the settings are silent: heads on frozen features are small and quick, finetuning
# takes the two epochs and the batch of the paper (arXiv 2312.09390 A.1), adapters a higher rate than whole models.
HEAD = FitSettings(epochs=30, learning_rate=1e-2, batch_size=64)
DEFAULTS = {
    "full": FitSettings(epochs=2, learning_rate=5e-5, batch_size=32),
    "lora": FitSettings(epochs=2, learning_rate=5e-4, batch_size=32),
}
FOLDS = 5


def frozen(spec: str) -> bool:
    """Whether a model of the spec keeps its representation and trains a head alone."""
    return spec.partition(":")[0] not in DEFAULTS


@dataclass(frozen=True)
class Predictions:
    """P(class) of one model on the rows that matter, each of shape (rows, classes)."""

    half2: Floats
    test: Floats
    attacked: Floats | None = None

    @classmethod
    def of(cls, arrays: Arrays) -> Predictions:
        """Read back what `arrays` gave."""
        return cls(arrays["half2"], arrays["test"], arrays.get("attacked"))

    def arrays(self) -> Arrays:
        """The predictions by name, as the cache keeps them."""
        named: Arrays = {"half2": self.half2, "test": self.test}
        return named if self.attacked is None else {**named, "attacked": self.attacked}


class SplitContext:
    """Everything that methods may do with one split; who takes the ceiling from it opens the truth of half 2.

    Args:
        experiment: the split.
        config: the settings of the run.
        cache: where weak labels and ceilings are kept.
        supervisor_context: of the same split as the supervisor sees it, where the student sees more; by default this
            one.
    """

    def __init__(
        self, experiment: Experiment, config: Config, cache: Cache, supervisor_context: SplitContext | None = None
    ) -> None:
        self.experiment, self.config, self.cache = experiment, config, cache
        self.seed = experiment.seed
        self.supervisor_context = supervisor_context or self

    def with_epochs(self, epochs: int) -> SplitContext:
        """The same context with another length of training."""
        w2s = self.config.w2s.model_copy(update={"epochs": epochs})
        supervisor_context = None if self.supervisor_context is self else self.supervisor_context
        return SplitContext(
            self.experiment, self.config.model_copy(update={"w2s": w2s}), self.cache, supervisor_context
        )

    def with_experiment(self, experiment: Experiment) -> SplitContext:
        """A context for the same split as its student sees it; supervisors still see it as this one."""
        return SplitContext(experiment, self.config, self.cache, self.supervisor_context)

    def untrained(self, spec: str) -> Student:
        """A fresh model of the spec."""
        e = self.experiment
        return make_student(spec, e.rows, e.classes, e.kind, self.seed, self.cache.folder)

    def settings(self, spec: str) -> FitSettings:
        """How a model of this kind is trained: the user's settings, else what suits the kind."""
        default, c = DEFAULTS.get(spec.partition(":")[0], HEAD), self.config.w2s
        return replace(
            default,
            epochs=c.epochs or default.epochs,
            learning_rate=c.learning_rate or default.learning_rate,
            batch_size=c.batch_size or default.batch_size,
            micro_batch=c.micro_batch,
            validation=c.validation,
        )

    def train(
        self,
        spec: str,
        rows: Rows,
        labels: WeakLabels,
        objective: Objective | None = None,
        expected_accuracy: float | None = None,
        watch: Rows | None = None,
    ) -> tuple[Student, History]:
        """A fresh model of the spec, trained on labelled rows (by default with the cross-entropy)."""
        student = self.untrained(spec)
        history = student.fit(
            rows,
            labels,
            objective or CrossEntropy(),
            self.settings(spec),
            self.seed,
            watch=watch,
            expected_accuracy=expected_accuracy,
        )
        return student, history

    def predict(self, student: Student) -> Predictions:
        """P(class) by a model on half 2, the test rows, and the attacked ones."""
        e = self.experiment
        attacked = None if e.attacked is None else student.predict(e.attacked)
        return Predictions(student.predict(e.half2), student.predict(e.test), attacked)

    def supervise(self, spec: str, bag: int | None = None) -> Predictions:
        """The supervisor of the spec, trained on half 1 and its truth; `bag` draws its groups with replacement."""
        if self.supervisor_context is not self:
            return self.supervisor_context.supervise(spec, bag)
        e = self.experiment

        def make() -> Arrays:
            chosen = np.arange(len(e.half1)) if bag is None else _bagged(e.half1.groups, (self.seed, bag))
            truth = WeakLabels.of(one_hot(e.labels1[chosen], e.classes), "truth of half 1")
            return self.predict(self.train(spec, e.half1.take(chosen), truth)[0]).arrays()

        return Predictions.of(self.cache.get("supervisor", self.key(spec) | {"bag": bag}, make))

    def ceiling(self, spec: str) -> Predictions:
        """The strong model trained on the truth of half 2: what perfect supervision would give.

        It opens the seal also where the cache has it: what it predicts of half 2 is nearly the truth.
        """
        e = self.experiment
        opened = e.truth2.open("ceiling")

        def make() -> Arrays:
            truth = WeakLabels.of(one_hot(opened, e.classes), "truth of half 2")
            return self.predict(self.train(spec, e.half2, truth)[0]).arrays()

        return Predictions.of(self.cache.get("ceiling", self.key(spec), make))

    def crossfit(self, spec: str) -> Floats:
        """P(class) by the supervisor on rows of half 1 that it was not trained on, shape (len(half1), classes).

        Models that are finetuned are trained on one fold's complement only; the other rows are NaN.
        """
        if self.supervisor_context is not self:
            return self.supervisor_context.crossfit(spec)
        e = self.experiment

        def make() -> Arrays:
            p = np.full((len(e.half1), e.classes), np.nan)
            parts = folds(e.half1.groups, FOLDS, self.seed)
            for train, heldout in parts[: FOLDS if frozen(spec) else 1]:
                truth = WeakLabels.of(one_hot(e.labels1[train], e.classes), "truth of half 1")
                student, _ = self.train(spec, e.half1.take(train), truth)
                p[heldout] = student.predict(e.half1.take(heldout))
            return {"p": p}

        return self.cache.get("crossfit", self.key(spec), make)["p"]

    def expected_accuracy(self, spec: str) -> float:
        """The supervisor's accuracy on held-out rows of half 1: what can be known without any sealed label."""
        p = self.crossfit(spec)
        known = ~np.isnan(p).any(1)
        return float(right(p[known], self.experiment.labels1[known]).mean())

    def key(self, spec: str) -> dict[str, object]:
        """What the results of a model on this split depend on."""
        attacked = None if self.experiment.attacked is None else self.experiment.attacked.digest()
        settings, data = repr(self.settings(spec)), self.experiment.identity
        named = {"data": data, "attacked": attacked, "split": self.seed, "spec": spec, "settings": settings}
        return {**named, "model": files_of(spec)}

    def policy_key(self, spec: str) -> dict[str, object]:
        """The same of a language model that is trained as one: also how much it reads and writes."""
        return self.key(spec) | {"tokens": self.config.w2s.max_new_tokens, "dtype": self.config.generator.dtype}


def files_of(spec: str) -> str | None:
    """What tells a model in a folder from another one put there later; None where the spec names no language model."""
    kind, _, argument = spec.partition(":")
    if kind not in (*DEFAULTS, "probe"):
        return None
    return backbones.identity(layered(argument)[0] if kind == "probe" else argument)


def _bagged(groups: tuple[str, ...], seed: Sequence[int]) -> Ints:
    """Row positions of as many groups as there are, drawn with replacement."""
    rows: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        rows.setdefault(group, []).append(position)
    names = sorted(rows)
    drawn = np.random.default_rng([abs(part) for part in seed]).integers(len(names), size=len(names))
    return np.array([position for i in drawn for position in rows[names[i]]], dtype=np.int64)
