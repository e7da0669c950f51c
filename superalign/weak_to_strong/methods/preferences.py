"""The built-in methods for pairs whose student is a language model: it reads the responses, or prefers as a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from superalign.config.schema import Config
from superalign.weak_to_strong.base import Floats, History, Kind, Task, WeakLabels
from superalign.weak_to_strong.cache import Arrays
from superalign.weak_to_strong.methods.builtin import Finetuned
from superalign.weak_to_strong.methods.generative_finetuning import adapted_spec
from superalign.weak_to_strong.methods.registry import Method, Trained
from superalign.weak_to_strong.models.policy import Policy, check_same_vocabulary, model_of
from superalign.weak_to_strong.split_context import Predictions, Specs, SplitContext

PAIRS: Final[tuple[Kind, ...]] = ("pairs",)


class Generative(Finetuned):
    """Language modelling on every response of half 2, preferences ignored, then the reward head."""

    kinds = PAIRS
    policies = (1,)

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """A reward head on the finetuned model."""
        return super().train(context, labels, (specs[0], adapted_spec(context, specs[1])))

    def ceiling(self, context: SplitContext, strong: str) -> Predictions:
        """The truth's reward head on the same finetuned model: the gain is not the extra stage alone."""
        return context.ceiling(adapted_spec(context, strong))


class DPO(Method):
    """DPO of a policy on the supervisor's preferences (arXiv 2305.18290), every pair alike."""

    kinds = PAIRS
    policies: tuple[int, ...] = (1,)

    def weights(self, labels: WeakLabels) -> Floats:
        """How much each pair counts."""
        return labels.weights

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """The policy's implicit reward."""
        return _preferred(context, labels.hard == 1, self.weights(labels), specs[1])

    def ceiling(self, context: SplitContext, strong: str) -> Predictions:
        """DPO of the strong policy on the true preferences of half 2."""
        truth = context.experiment.truth2.open("ceiling")

        def make() -> Arrays:
            outputs = _preferred(context, truth == 1, np.ones(len(truth)), strong).outputs
            assert isinstance(outputs, Predictions)
            return outputs.arrays()

        return Predictions.of(context.cache.get("policy_ceiling", context.policy_key(strong), make))


class CWPO(DPO):
    """Confidence-weighted preference optimization: weight 2 (sigma(|margin|) - 1/2) (arXiv 2603.04968)."""

    def weights(self, labels: WeakLabels) -> Floats:
        """By the supervisor's confidence."""
        return np.asarray(labels.weights * (2 * labels.confidence - 1), dtype=np.float64)


class WSPO(DPO):
    """Weak-to-strong preference optimization: the strong policy takes over the shift of an aligned weak policy.

    The weak policy is aligned by DPO on half 1; on half 2 the weak labels choose the response to match. Labels of
    weight 0 are left out, the others count alike.
    """

    policies = (0, 1)

    def train(self, context: SplitContext, labels: WeakLabels, specs: Specs) -> Trained:
        """The strong policy's implicit reward."""
        weak, strong = (model_of(spec, "method=wspo") for spec in specs)
        check_same_vocabulary(weak, strong)
        e, kept = context.experiment, np.flatnonzero(labels.weights > 0)
        half2, better = e.half2.take(kept), (labels.hard[kept] == 1).tolist()
        aligned = Policy(weak, context.config, context.seed)
        aligned.prefer(e.half1, (e.labels1 == 1).tolist(), np.ones(len(e.half1)))
        policy = Policy(strong, context.config, context.seed)
        policy.match(half2, better, aligned.log_ratios(half2, better))
        return Trained(_implicit(context, policy))

    def check(self, config: Config, task: Task, specs: Specs) -> None:
        """Refuse models of different vocabularies: tokens are matched."""
        weak, strong = (model_of(spec, "method=wspo") for spec in specs)
        check_same_vocabulary(weak, strong)


def _preferred(context: SplitContext, first_better: Sequence[bool] | Floats, weights: Floats, strong: str) -> Trained:
    policy = Policy(model_of(strong, "preference optimization"), context.config, context.seed)
    metrics = policy.prefer(context.experiment.half2, [bool(x) for x in first_better], weights)
    return Trained(_implicit(context, policy), History(seconds=metrics["seconds"]))


def _implicit(context: SplitContext, policy: Policy) -> Predictions:
    """P(first better) by a policy's implicit reward (arXiv 2305.18290 eq. 5)."""
    e = context.experiment
    first = [1 / (1 + np.exp(-policy.margins(rows))) for rows in (e.half2, e.test)]
    half2, test = (np.stack([1 - p, p], axis=1) for p in first)
    return Predictions(half2, test)
