"""A weak-to-strong method: finetuning on weak labels that are mixed with even odds."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from superalign.config.sections import Section
from superalign.weak_to_strong.base import WeakLabels
from superalign.weak_to_strong.methods.registry import Method, Trained
from superalign.weak_to_strong.split_context import Specs, SplitContext


class SoftenedSettings(Section):
    """The softening."""

    share: float = Field(0.2, ge=0.0, lt=1.0, description="share of even odds in each label")


class Softened(Method):
    """Finetuning on softened labels (label smoothing, arXiv 1512.00567)."""

    Settings = SoftenedSettings

    def __init__(self, settings: SoftenedSettings) -> None:
        self.share = settings.share

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """One student."""
        p = labels.probabilities
        softer = replace(labels, probabilities=(1 - self.share) * p + self.share / p.shape[1])
        student, history = context.train(specs[1], context.experiment.half2, softer)
        return Trained(context.predict(student), history, student)
