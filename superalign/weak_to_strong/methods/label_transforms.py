"""What can be done to weak labels before a student learns from them; transforms compose: `calibrate+filter:0.5`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from superalign.errors import UserError, nearest
from superalign.weak_to_strong.base import Floats, Inputs, Kind, WeakLabels
from superalign.weak_to_strong.methods.critic_and_debate import critic_verdicts, debated_supervisor
from superalign.weak_to_strong.protocol import folds, one_hot
from superalign.weak_to_strong.split_context import Specs, SplitContext

Change = Callable[[WeakLabels, SplitContext, Specs, float], WeakLabels]
TINY = 1e-9
CLASSES: tuple[Kind, ...] = ("classify", "pairs")


@dataclass(frozen=True)
class Transform:
    """A named change of weak labels.

    Attributes:
        default: its argument, None where it takes none.
        kinds: of tasks that it is for.
        texts: whether the task's rows must be texts.
    """

    summary: str
    change: Change
    default: float | None = None
    kinds: tuple[Kind, ...] = CLASSES
    texts: bool = False


def calibrate(labels: WeakLabels, context: SplitContext, specs: Specs, _: float) -> WeakLabels:
    """Temperature scaling (arXiv 1706.04599) fitted on held-out rows of half 1."""
    p, truth = context.crossfit(specs[0]), context.experiment.labels1
    known = ~np.isnan(p).any(1)
    logits, y = np.log(p[known] + TINY), truth[known]

    def nll(log_t: float) -> float:
        scaled = special.log_softmax(logits / np.exp(log_t), axis=1)
        return float(-scaled[np.arange(len(y)), y].mean())

    log_t = optimize.minimize_scalar(nll, bounds=(-3.0, 3.0), method="bounded").x
    return replace(labels, probabilities=special.softmax(np.log(labels.probabilities + TINY) / np.exp(log_t), axis=1))


def ensemble(labels: WeakLabels, context: SplitContext, specs: Specs, members: float) -> WeakLabels:
    """The mean of the supervisor and of bagged ones, each trained on groups of half 1 drawn with replacement."""
    bagged = [context.supervise(specs[0], bag).half2 for bag in range(int(members) - 1)]
    return replace(labels, probabilities=np.mean([labels.probabilities, *bagged], axis=0))


def confident(labels: WeakLabels, _: SplitContext, __: Specs, share: float) -> WeakLabels:
    """Keep the given share of each class, its most confident rows; the others lose their weight."""
    kept = np.zeros(len(labels), dtype=bool)
    for cls in np.unique(labels.hard):
        mine = np.flatnonzero(labels.hard == cls)
        best = np.argsort(-labels.confidence[mine], kind="stable")[: max(1, round(share * len(mine)))]
        kept[mine[best]] = True
    return replace(labels, weights=labels.weights * kept)


def agreeing(labels: WeakLabels, context: SplitContext, specs: Specs, _: float) -> WeakLabels:
    """Keep the rows on which a student that learned from the labels of other rows agrees (two folds)."""
    half2 = context.experiment.half2
    agrees = np.zeros(len(labels), dtype=bool)
    for train, heldout in folds(half2.groups, 2, context.seed):
        part = WeakLabels(labels.probabilities[train], labels.weights[train], labels.provenance)
        student = context.train(specs[1], half2.take(train), part)[0]
        agrees[heldout] = student.predict(half2.take(heldout)).argmax(1) == labels.hard[heldout]
    return replace(labels, weights=labels.weights * agrees)


def reweight(labels: WeakLabels, _: SplitContext, __: Specs, ___: float) -> WeakLabels:
    """Weight (k max p - 1)/(k - 1): 1 for a certain label, 0 for a uniform one.

    For two classes it is 2 |p - 1/2|, the weight of CW-PO (arXiv 2603.04968).
    """
    k = labels.probabilities.shape[1]
    return replace(labels, weights=labels.weights * (k * labels.confidence - 1) / (k - 1))


def harden(labels: WeakLabels, _: SplitContext, __: Specs, ___: float) -> WeakLabels:
    """The likeliest class becomes certain."""
    return replace(labels, probabilities=one_hot(labels.hard, labels.probabilities.shape[1]))


def critic(labels: WeakLabels, context: SplitContext, _: Specs, __: float) -> WeakLabels:
    """Critic-assisted relabelling: log-odds of supervisor and critic are added (independent errors)."""
    return replace(labels, probabilities=_fused(labels.probabilities, critic_verdicts(context)))


def debate(labels: WeakLabels, context: SplitContext, specs: Specs, _: float) -> WeakLabels:
    """The supervisor reads both sides of a debate, in training and in labelling (arXiv 2501.13124)."""
    return replace(labels, probabilities=debated_supervisor(context, specs[0]))


def _fused(a: Floats, b: Floats) -> Floats:
    return np.asarray(special.softmax(np.log(a + TINY) + np.log(b + TINY), axis=1), dtype=np.float64)


TRANSFORMS = {
    "calibrate": Transform("temperature by held-out rows of half 1", calibrate),
    "ensemble": Transform("mean of N bagged supervisors", ensemble, 5),
    "filter": Transform("keep a share of each class, the most confident", confident, 0.5, (*CLASSES, "generate")),
    "agree": Transform("keep rows where a cross-fitted student agrees", agreeing),
    "reweight": Transform("weight by confidence", reweight),
    "harden": Transform("certain labels", harden),
    "critic": Transform("add a critic's verdict", critic, texts=True),
    "debate": Transform("the supervisor reads a debate", debate, kinds=("classify",), texts=True),
}


def parse(text: str) -> list[tuple[str, Change, float]]:
    """(word, change, argument) of transforms joined by `+`.

    Raises:
        UserError: there is no such transform, or its argument is none.
    """
    found = []
    for word in filter(None, text.split("+")):
        name, _, argument = word.partition(":")
        if name not in TRANSFORMS:
            known = ", ".join(TRANSFORMS)
            raise UserError(f"w2s.labels={text}: no transform {name!r}{nearest(name, TRANSFORMS)} (there is: {known})")
        default = TRANSFORMS[name].default
        try:
            value = float(argument or default or 0)
        except ValueError:
            value = -1.0
        fits = 0 < value <= 1 if name == "filter" else value in range(1, 65)
        if (argument and default is None) or (default is not None and not fits):
            example = f"{name}:{default:g}" if default is not None else name
            raise UserError(f"w2s.labels={text}: {word!r} has a wrong argument; write for example {example}")
        found.append((word, TRANSFORMS[name].change, value))
    return found


def check(text: str, task: str, kind: Kind, inputs: Inputs) -> None:
    """Refuse transforms that do not suit a task.

    Raises:
        UserError: as `parse`; or a transform is not for the task's kind, or reads texts where there are vectors.
    """
    for word, _, _ in parse(text):
        transform = TRANSFORMS[word.partition(":")[0]]
        if kind not in transform.kinds:
            kinds = " or ".join(transform.kinds)
            raise UserError(f"{word} is for tasks of kind {kinds}: task={task} is of kind {kind}")
        if transform.texts and isinstance(inputs, np.ndarray):
            raise UserError(f"{word} reads texts and the rows of task={task} are vectors: choose another task")


def transformed(labels: WeakLabels, text: str, context: SplitContext, specs: Specs) -> WeakLabels:
    """The labels after every transform of the text, in order; each adds itself to the provenance.

    Raises:
        UserError: as `check`; or no label is left with weight.
    """
    e = context.supervisor_context.experiment
    check(text, e.name, e.kind, e.half2.inputs)
    for word, change, argument in parse(text):
        changed = change(labels, context, specs, argument)
        labels = replace(changed, provenance=(*labels.provenance, word))
        if not (labels.weights > 0).any():
            raise UserError(f"w2s.labels={text}: {word} leaves no label of {e.name} with weight")
    return labels
