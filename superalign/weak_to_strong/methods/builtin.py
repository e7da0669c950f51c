"""The built-in methods that finetune the student on weak labels; none opens a sealed label unless its name says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.weak_to_strong.base import Kind, Task, WeakLabels
from superalign.weak_to_strong.methods import imitation
from superalign.weak_to_strong.methods.registry import EVERY, Method, Trained
from superalign.weak_to_strong.models import losses
from superalign.weak_to_strong.models.checks import check_model
from superalign.weak_to_strong.protocol import Experiment, right
from superalign.weak_to_strong.split_context import Predictions, Specs, SplitContext

FEWER_EPOCHS: Final = (0.03, 0.1, 0.3, 1.0)  # of the usual number, among which an oracle chooses


class Finetuned(Method):
    """Finetuning on the weak labels by an objective; imitation of the weak completions where there are no classes.

    Without `w2s.validation` it trains to the end; on NLP tasks arXiv 2312.09390 stops early by agreement with held-out
    weak labels.
    """

    def objective(self, config: Config) -> losses.Objective:
        """What is minimised: soft cross-entropy (arXiv 2312.09390 section 3)."""
        return losses.CrossEntropy()

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """One student, trained on all labels."""
        e = context.experiment
        if e.kind == "generate":
            return Trained(imitation.imitation(context, specs[1], labels.texts or (), labels.weights))
        objective = self.objective(context.config)
        expected = context.expected_accuracy(specs[0]) if isinstance(objective, losses.Confidence) else None
        student, history = context.train(specs[1], e.half2, labels, objective, expected_accuracy=expected, watch=e.test)
        return Trained(context.predict(student), history, student)


class Naive(Finetuned):
    """Finetuning on the weak labels as they are."""

    kinds = EVERY


class Confidence(Finetuned):
    """The auxiliary confidence loss (arXiv 2312.09390 A.4)."""

    def objective(self, config: Config) -> losses.Objective:
        """As `w2s.alpha`, `w2s.ramp` and `w2s.threshold` say."""
        c = config.w2s
        return losses.Confidence(alpha_max=c.alpha, ramp=c.ramp, threshold=c.threshold)


class Product(Finetuned):
    """Targets proportional to p_weak p_student (arXiv 2312.09390 App. B)."""

    def objective(self, config: Config) -> losses.Objective:
        """The product."""
        return losses.Product()


class Filter(Finetuned):
    """The more confident half of the labels of each class."""

    labels = "filter"
    kinds = EVERY


class Agree(Finetuned):
    """Labels that a cross-fitted student confirms."""

    labels = "agree"


class Reweight(Finetuned):
    """Labels weighted by confidence."""

    labels = "reweight"


class Calibrate(Finetuned):
    """Labels calibrated on half 1."""

    labels = "calibrate"


class Harden(Finetuned):
    """Hard labels."""

    labels = "harden"


class Ensemble(Finetuned):
    """The mean of bagged supervisors."""

    labels = "ensemble"


class Critic(Finetuned):
    """Labels fused with a critic's verdicts."""

    labels = "critic"


class Debate(Finetuned):
    """The labels of a supervisor that reads a debate."""

    labels = "debate"
    kinds: tuple[Kind, ...] = ("classify",)


class Bootstrap(Finetuned):
    """Through students of growing size, each labelling for the next (arXiv 2312.09390 section 4.3.1).

    Every one of them trains on the same half 2; the paper takes fresh rows at each step.
    """

    kinds = EVERY

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """The student learns from the labels of the last model between."""
        e = context.experiment
        for between in models_between(context.config, e):
            provenance = (*labels.provenance, between)
            if e.kind == "generate":
                completions = imitation.imitation(context, between, labels.texts or (), labels.weights)
                labels = replace(imitation.weak_labels(completions, between), provenance=provenance)
            else:
                student, _ = context.train(between, e.half2, labels)
                labels = replace(labels, probabilities=student.predict(e.half2), provenance=provenance)
        return super().train(context, labels, specs)

    def check(self, config: Config, task: Task, specs: Specs) -> None:
        """Refuse models between that there are none of, or that do not suit the task."""
        for between in models_between(config, task):
            check_model(between, task)


def models_between(config: Config, task: Task | Experiment) -> tuple[str, ...]:
    """The models that bootstrapping goes through: those of the settings, else the task's own.

    Raises:
        UserError: there are none, so that it would be naive finetuning under another name.
    """
    via = config.w2s.via or task.via
    if not via:
        raise UserError(
            f"method=bootstrap has no models between for task={task.name}: name them, for example w2s.via=lora:M"
        )
    return via


class OracleStop(Finetuned):
    """Naive finetuning for as many epochs as the truth of half 2 likes best: an oracle, for comparison only."""

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """The best of several students on half 2."""
        truth, whole = context.experiment.truth2.open("oracle_stop"), context.settings(specs[1]).epochs
        best: tuple[float, Trained] | None = None
        for epochs in sorted({max(1, round(share * whole)) for share in FEWER_EPOCHS}):
            tried = super().train(context.with_epochs(epochs), labels, specs)
            assert isinstance(tried.outputs, Predictions)
            score = float(right(tried.outputs.half2, truth).mean())
            if best is None or score > best[0]:
                best = (score, tried)
        assert best is not None
        return best[1]
