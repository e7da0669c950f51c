"""How a student learns from weak labels: one function per method; none sees a sealed label unless its name says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.weak_to_strong.base import Floats, History, Kind, WeakLabels
from superalign.weak_to_strong.methods import imitation
from superalign.weak_to_strong.methods.generative_finetuning import adapted_spec
from superalign.weak_to_strong.methods.imitation import Said
from superalign.weak_to_strong.models.losses import Confidence, Objective, Product
from superalign.weak_to_strong.models.policy import Policy, check_same_vocabulary, model_of
from superalign.weak_to_strong.models.registry import Student
from superalign.weak_to_strong.protocol import right
from superalign.weak_to_strong.split_context import Lab, Predictions
from superalign.weak_to_strong.tasks.registry import TASKS

Specs = tuple[str, str]  # of the supervisor, of the student
FEWER_EPOCHS = (0.03, 0.1, 0.3, 1.0)  # of the usual number, among which an oracle chooses


@dataclass(frozen=True)
class Trained:
    """A student after its training.

    Attributes:
        found: P(class) on the rows that matter, or the completions of a generation task.
        student: what can still be asked for features, None for policies.
    """

    found: Predictions | Said
    history: History = field(default_factory=History)
    student: Student | None = None


def naive(lab: Lab, labels: WeakLabels, specs: Specs, objective: Objective | None = None) -> Trained:
    """Finetune on the weak labels as they are: soft cross-entropy (arXiv 2312.09390 §3), or imitate completions.

    Without `w2s.validation` it trains to the end; on NLP tasks the paper stops early by agreement with held-out weak
    labels.
    """
    e = lab.experiment
    if e.kind == "generate":
        return Trained(imitation.imitation(lab, specs[1], labels.texts or (), labels.weights))
    expected = lab.expected_accuracy(specs[0]) if isinstance(objective, Confidence) else None
    student, history = lab.train(specs[1], e.half2, labels, objective, expected_accuracy=expected, watch=e.test)
    return Trained(lab.predict(student), history, student)


def confidence(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """The auxiliary confidence loss (arXiv 2312.09390 A.4)."""
    c = lab.config.w2s
    return naive(lab, labels, specs, Confidence(alpha_max=c.alpha, ramp=c.ramp, threshold=c.threshold))


def product(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """Targets proportional to p_weak p_student (arXiv 2312.09390 App. B)."""
    return naive(lab, labels, specs, Product())


def bootstrap(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """Through students of growing size, each labelling for the next (arXiv 2312.09390 §4.3.1).

    Every one of them trains on the same half 2; the paper takes fresh rows at each step.
    """
    e = lab.experiment
    for between in between_models(lab.config, e.name):
        if e.kind == "generate":
            said = imitation.imitation(lab, between, labels.texts or (), labels.weights)
            labels = replace(imitation.weak_labels(said, between), provenance=(*labels.provenance, between))
            continue
        student, _ = lab.train(between, e.half2, labels)
        p = student.predict(e.half2)
        labels = replace(labels, probabilities=p, provenance=(*labels.provenance, between))
    return naive(lab, labels, specs)


def between_models(config: Config, task: str) -> tuple[str, ...]:
    """The models that bootstrapping goes through: those of the settings, else the task's own.

    Raises:
        UserError: there are none, so that it would be naive finetuning under another name.
    """
    via = config.w2s.via or TASKS[task].models(config.data.source).via
    if not via:
        raise UserError(
            f"method=bootstrap has no models between for task={task}: name them, for example w2s.via=lora:M"
        )
    return via


def oracle_stop(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """Naive finetuning for as many epochs as the truth of half 2 likes best: an oracle, for comparison only."""
    truth, whole = lab.experiment.truth2.open("oracle_stop"), lab.settings(specs[1]).epochs
    best: tuple[float, Trained] | None = None
    for epochs in sorted({max(1, round(share * whole)) for share in FEWER_EPOCHS}):
        tried = naive(lab.with_epochs(epochs), labels, specs)
        assert isinstance(tried.found, Predictions)
        score = float(right(tried.found.half2, truth).mean())
        if best is None or score > best[0]:
            best = (score, tried)
    assert best is not None
    return best[1]


def generative(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """Language modelling on every response of half 2, preferences ignored, then the reward head."""
    return naive(lab, labels, (specs[0], adapted_spec(lab, specs[1])))


def generative_ceiling(lab: Lab, strong: str) -> Predictions:
    """The truth's reward head on the same finetuned model: the gain is not the extra stage alone."""
    return lab.ceiling(adapted_spec(lab, strong))


def dpo(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """DPO of a policy on the supervisor's preferences (arXiv 2305.18290), every pair alike."""
    return _preferred(lab, labels.hard == 1, labels.weights, specs[1])


def cw_po(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """Confidence-weighted preference optimization: weight 2 (sigma(|margin|) - 1/2) (arXiv 2603.04968)."""
    return _preferred(lab, labels.hard == 1, labels.weights * (2 * labels.confidence - 1), specs[1])


def wspo(lab: Lab, labels: WeakLabels, specs: Specs) -> Trained:
    """Weak-to-strong preference optimization: the strong policy takes over the shift of an aligned weak policy.

    The weak policy is aligned by DPO on half 1; on half 2 the weak labels choose the response to match. Labels of
    weight 0 are left out, the others count alike.
    """
    weak, strong = (model_of(spec, "method=wspo") for spec in specs)
    check_same_vocabulary(weak, strong)
    e, kept = lab.experiment, np.flatnonzero(labels.weights > 0)
    half2, better = e.half2.take(kept), (labels.hard[kept] == 1).tolist()
    aligned = Policy(weak, lab.config, lab.seed)
    aligned.prefer(e.half1, (e.labels1 == 1).tolist(), np.ones(len(e.half1)))
    policy = Policy(strong, lab.config, lab.seed)
    policy.match(half2, better, aligned.log_ratios(half2, better))
    return Trained(_implicit(lab, policy))


def policy_ceiling(lab: Lab, strong: str) -> Predictions:
    """DPO of the strong policy on the true preferences of half 2."""

    def make() -> dict[str, Floats]:
        truth = lab.experiment.truth2.open("ceiling")
        found = _preferred(lab, truth == 1, np.ones(len(truth)), strong).found
        assert isinstance(found, Predictions)
        return found.arrays()

    return Predictions.of(lab.cache.get("policy_ceiling", lab.policy_key(strong), make))


def _preferred(lab: Lab, first_better: Sequence[bool] | Floats, weights: Floats, strong: str) -> Trained:
    policy = Policy(model_of(strong, "preference optimization"), lab.config, lab.seed)
    metrics = policy.prefer(lab.experiment.half2, [bool(x) for x in first_better], weights)
    return Trained(_implicit(lab, policy), History(seconds=metrics["seconds"]))


def _implicit(lab: Lab, policy: Policy) -> Predictions:
    """P(first better) by a policy's implicit reward (arXiv 2305.18290 eq. 5)."""
    e = lab.experiment
    first = [1 / (1 + np.exp(-policy.margins(rows))) for rows in (e.half2, e.test)]
    half2, test = (np.stack([1 - p, p], axis=1) for p in first)
    return Predictions(half2, test)


@dataclass(frozen=True)
class Method:
    """A named method: `labels` are transforms that it applies before it trains.

    `ceiling` trains the same kind of student on the truth, None where the plain ceiling is the one to compare with.
    `policies` are the positions in `Specs` of those that must be language models.
    What each does stands in `catalogue.METHOD_LINES`.
    """

    train: Callable[[Lab, WeakLabels, Specs], Trained]
    labels: str = ""
    kinds: tuple[Kind, ...] = ("classify", "pairs")
    ceiling: Callable[[Lab, str], Predictions] | None = None
    policies: tuple[int, ...] = ()


EVERY: tuple[Kind, ...] = ("classify", "pairs", "generate")
PAIRS: tuple[Kind, ...] = ("pairs",)
USUAL: dict[Kind, tuple[str, ...]] = {
    "classify": ("naive", "confidence", "product", "filter", "ensemble", "bootstrap"),
    "pairs": ("naive", "confidence", "product", "filter", "ensemble", "bootstrap"),
    "generate": ("naive", "filter"),
}
METHODS = {
    "naive": Method(naive, kinds=EVERY),
    "confidence": Method(confidence),
    "product": Method(product),
    "bootstrap": Method(bootstrap, kinds=EVERY),
    "filter": Method(naive, "filter", kinds=EVERY),
    "agree": Method(naive, "agree"),
    "reweight": Method(naive, "reweight"),
    "calibrate": Method(naive, "calibrate"),
    "harden": Method(naive, "harden"),
    "ensemble": Method(naive, "ensemble"),
    "critic": Method(naive, "critic"),
    "debate": Method(naive, "debate", kinds=("classify",)),
    "oracle_stop": Method(oracle_stop),
    "generative": Method(generative, "", PAIRS, generative_ceiling, (1,)),
    "dpo": Method(dpo, "", PAIRS, policy_ceiling, (1,)),
    "cw_po": Method(cw_po, "", PAIRS, policy_ceiling, (1,)),
    "wspo": Method(wspo, "", PAIRS, policy_ceiling, (0, 1)),
}


def suited(config: Config, kind: Kind) -> list[str]:
    """The methods asked for that a kind of task allows; its usual ones where none is asked for."""
    return [name for name in dict.fromkeys(config.method or USUAL[kind]) if kind in METHODS[name].kinds]
