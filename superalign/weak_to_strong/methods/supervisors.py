"""The supervisor of a study: the weak model, or one whose errors have another structure at the same accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from superalign.errors import UserError, nearest
from superalign.weak_to_strong.base import Floats, Inputs, Ints, Kind, Rows, WeakLabels
from superalign.weak_to_strong.methods import imitation
from superalign.weak_to_strong.methods.error_structures import STRUCTURES, corrupt
from superalign.weak_to_strong.methods.imitation import Said
from superalign.weak_to_strong.protocol import one_hot
from superalign.weak_to_strong.split_context import Lab, Predictions

Specs = tuple[str, str]


def check(structure: str, task: str, kind: Kind) -> None:
    """Refuse an error structure that does not exist or says nothing of a task.

    Raises:
        UserError: there is no such structure, or not for the kind of the task.
    """
    if structure not in STRUCTURES:
        known = ", ".join(STRUCTURES)
        raise UserError(f"unknown w2s.supervisor {structure!r}{nearest(structure, STRUCTURES)} (there is: {known})")
    if kind == "generate" and structure != "weak":
        raise UserError(f"w2s.supervisor={structure} flips classes: task={task} has completions")
    if kind != "classify" and structure == "imitable":
        raise UserError(f"w2s.supervisor=imitable appends a class: task={task} has none")


def supervised(lab: Lab, specs: Specs, structure: str) -> tuple[Lab, Predictions | Said, WeakLabels, Specs]:
    """What the supervisor says: (lab, on every part, as labels of half 2, specs of supervisor and student).

    An error structure is made with the sealed truth, which is opened under its name; `imitable` gives a lab whose
    student reads the weak label beside its own features.

    Raises:
        UserError: as `check`.
    """
    weak, strong = specs
    check(structure, lab.experiment.name, lab.experiment.kind)
    if lab.experiment.kind == "generate":
        said = imitation.supervise(lab, weak)
        return lab, said, imitation.weak_labels(said, weak), specs
    found = lab.supervise(weak)
    if structure == "weak":
        return lab, found, WeakLabels.of(found.half2, weak), specs
    if structure == "imitable":
        return _imitable(lab, found, strong), found, WeakLabels.of(found.half2, weak), (weak, "vectors:")
    e, seen = lab.experiment, lab.supervise(strong)
    by = f"supervisor:{structure}"
    half2 = _corrupted(structure, found.half2, e.truth2.open(by), e.half2, seen.half2, lab.seed)
    test = _corrupted(structure, found.test, e.truth_test.open(by), e.test, seen.test, lab.seed)
    return lab, Predictions(half2, test), WeakLabels.of(half2, f"{weak}, errors {structure}"), specs


def _corrupted(structure: str, p: Floats, truth: Ints, rows: Rows, seen: Floats, seed: int) -> Floats:
    lengths = np.array([_length(rows, i) for i in range(len(rows))], dtype=np.float64)
    return corrupt(structure, p, truth, lengths, seen.max(1), seen.argmax(1), seed)[0]


def _length(rows: Rows, i: int) -> float:
    if isinstance(rows.inputs, np.ndarray):
        return float(np.abs(rows.inputs[i]).sum())
    return float(len(rows.inputs[i].prompt) + len(rows.inputs[i].response))


def _imitable(lab: Lab, found: Predictions, strong: str) -> Lab:
    """The student's features with the weak label appended to them (arXiv 2312.09390 E.3)."""
    e = lab.experiment
    student = lab.untrained(strong)

    def seen(rows: Rows, p: Floats) -> Inputs:
        features = student.features(rows)
        hint = one_hot(p.argmax(1), e.classes) * np.sqrt(features.shape[1])
        return np.hstack([features, hint]).astype(np.float32)

    half2 = replace(e.half2, inputs=seen(e.half2, found.half2))
    test = replace(e.test, inputs=seen(e.test, found.test))
    return lab.on(replace(e, rows=half2, half2=half2, test=test, attacked=None))
