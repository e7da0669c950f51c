"""The supervisor of a study: the weak model, or one whose errors have another structure at the same accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from superalign.errors import UserError, nearest
from superalign.weak_to_strong.base import Floats, Inputs, Ints, Kind, Rows, WeakLabels
from superalign.weak_to_strong.methods import imitation
from superalign.weak_to_strong.methods.error_structures import STRUCTURES, corrupt
from superalign.weak_to_strong.methods.imitation import Completions
from superalign.weak_to_strong.protocol import one_hot
from superalign.weak_to_strong.split_context import Predictions, Specs, SplitContext


def check_name(structure: str) -> None:
    """Refuse an error structure that does not exist.

    Raises:
        UserError: there is no such structure.
    """
    if structure not in STRUCTURES:
        known = ", ".join(STRUCTURES)
        raise UserError(f"unknown w2s.supervisor {structure!r}{nearest(structure, STRUCTURES)} (there is: {known})")


def check(structure: str, task: str, kind: Kind) -> None:
    """Refuse an error structure that does not exist or does not suit a task.

    Raises:
        UserError: there is no such structure, or not for the kind of the task.
    """
    check_name(structure)
    if kind == "generate" and structure != "weak":
        raise UserError(f"w2s.supervisor={structure} flips classes: task={task} has completions")
    if kind != "classify" and structure == "imitable":
        raise UserError(f"w2s.supervisor=imitable appends a class: task={task} has none")


def supervised(
    context: SplitContext, specs: Specs, structure: str
) -> tuple[SplitContext, Predictions | Completions, WeakLabels, Specs]:
    """The supervisor's outputs and labels: (context, outputs on every part, labels of half 2, specs of both models).

    An error structure is made with the sealed truth, which is opened under its name; `imitable` gives a context whose
    student reads the weak label beside its own features.

    Raises:
        UserError: as `check`.
    """
    weak, strong = specs
    check(structure, context.experiment.name, context.experiment.kind)
    if context.experiment.kind == "generate":
        completions = imitation.supervise(context, weak)
        return context, completions, imitation.weak_labels(completions, weak), specs
    found = context.supervise(weak)
    if structure == "weak":
        return context, found, WeakLabels.of(found.half2, weak), specs
    if structure == "imitable":
        return _imitable(context, found, strong), found, WeakLabels.of(found.half2, weak), (weak, "vectors:")
    e, strong_view = context.experiment, context.supervise(strong)
    by = f"supervisor:{structure}"
    half2 = _corrupted(structure, found.half2, e.truth2.open(by), e.half2, strong_view.half2, context.seed)
    test = _corrupted(structure, found.test, e.truth_test.open(by), e.test, strong_view.test, context.seed)
    return context, Predictions(half2, test), WeakLabels.of(half2, f"{weak}, errors {structure}"), specs


def _corrupted(structure: str, p: Floats, truth: Ints, rows: Rows, strong: Floats, seed: int) -> Floats:
    lengths = np.array([_length(rows, i) for i in range(len(rows))], dtype=np.float64)
    return corrupt(structure, p, truth, lengths, strong.max(1), strong.argmax(1), seed)[0]


def _length(rows: Rows, i: int) -> float:
    if isinstance(rows.inputs, np.ndarray):
        return float(np.abs(rows.inputs[i]).sum())
    return float(len(rows.inputs[i].prompt) + len(rows.inputs[i].response))


def _imitable(context: SplitContext, found: Predictions, strong: str) -> SplitContext:
    """The student's features with the weak label appended to them (arXiv 2312.09390 E.3)."""
    e = context.experiment
    student = context.untrained(strong)

    def with_hint(rows: Rows, p: Floats) -> Inputs:
        features = student.features(rows)
        hint = one_hot(p.argmax(1), e.classes) * np.sqrt(features.shape[1])
        return np.hstack([features, hint]).astype(np.float32)

    half2 = replace(e.half2, inputs=with_hint(e.half2, found.half2))
    test = replace(e.test, inputs=with_hint(e.test, found.test))
    return context.with_experiment(replace(e, rows=half2, half2=half2, test=test, attacked=None))
