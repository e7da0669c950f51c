"""Supervisors and students by their specs, `KIND:ARGUMENT`: heads on frozen features, adapters, whole models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from superalign.errors import UserError, nearest
from superalign.weak_to_strong.base import Kind, Rows
from superalign.weak_to_strong.models import backbones
from superalign.weak_to_strong.models.features import featuriser
from superalign.weak_to_strong.models.finetuned import FinetunedStudent
from superalign.weak_to_strong.models.linear_probe import HeadStudent, Student

__all__ = ["EXAMPLES", "Student", "make_student"]

EXAMPLES = {
    "pixels": "pixels:4",
    "centroids": "centroids:300",
    "words": "words:60",
    "lsa": "lsa:100",
    "vectors": "vectors:",
    "probe": "probe:testbed@2",
    "full": "full:testbed",
    "lora": "lora:testbed",
}


def make_student(spec: str, rows: Rows, classes: int, kind: Kind, seed: int, cache: Path | None = None) -> Student:
    """The student that a spec names, untrained.

    - `pixels:N`: square images averaged down to N x N. `centroids:K`: responses to K k-means centroids.
      `vectors:`: vectors as they are.
    - `words:K`: the K most frequent words. `lsa:K`: K directions of latent semantic analysis.
    - `probe:MODEL[@LAYER]`: hidden states of a frozen transformers model. All of these under a linear head.
    - `full:MODEL`, `lora:MODEL`: finetuning of the whole model, or of an adapter.

    Args:
        spec: KIND:ARGUMENT.
        rows: all of the task's rows; what needs no labels is fitted on them.
        classes: how many there are.
        kind: classify, or pairs: one scorer reads both sides, and their scores' difference is the log-odds.
        seed: of an adapter's initial weights.
        cache: folder for the features of frozen models.

    Raises:
        UserError: the kind is unknown, the argument is wrong or does not fit the rows, the model does not fit into
            memory, or the task asks for completions.
    """
    name, colon, argument = spec.partition(":")
    if name not in EXAMPLES or not colon:
        known = ", ".join(EXAMPLES.values())
        raise UserError(f"unknown model {spec!r}{nearest(name, EXAMPLES)}; write KIND:ARGUMENT, for example {known}")
    if kind == "generate":
        raise UserError(f"{spec} predicts classes and this task asks for completions; use lora:MODEL as a policy")
    if not argument and name != "vectors":
        raise UserError(f"{spec} lacks what follows the colon; write for example {EXAMPLES[name]}")
    if name not in ("full", "lora"):
        return HeadStudent(featuriser(name, argument, rows, cache), classes, kind)
    if isinstance(rows.inputs, np.ndarray):
        raise UserError(f"{spec} reads texts and the task's rows are vectors; use pixels:4 or centroids:300")
    backbones.check_memory(spec, argument, trained=name == "full")
    return FinetunedStudent(argument, name == "lora", classes, kind, seed)
