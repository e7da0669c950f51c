"""The scorer: the one place where a method's outputs meet the sealed truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.weak_to_strong.base import Floats, Ints, Rows, Task
from superalign.weak_to_strong.methods.imitation import Completions
from superalign.weak_to_strong.methods.registry import Trained
from superalign.weak_to_strong.metrics.agreement import imitation_curve, probed
from superalign.weak_to_strong.protocol import Experiment, graded, right
from superalign.weak_to_strong.split_context import Predictions, SplitContext, frozen

Columns = dict[str, NDArray[Any]]
Outputs = Predictions | Completions
WHO = ("weak", "student", "ceiling")


class Scorer:
    """Scores weak, student and ceiling on the same held-out rows.

    Args:
        task: with its labels and its grader.
        experiment: the split, whose test labels are opened here.
    """

    def __init__(self, task: Task, experiment: Experiment) -> None:
        self._task, self._experiment = task, experiment
        self._truth: Ints = experiment.truth_test.open("scorer")

    def columns(self, weak: Outputs, student: Outputs, ceiling: Outputs) -> list[Columns]:
        """One table for each thing that is measured: `part` is test, attacked, or the name of a further grade.

        Scores are in [0, 1]; classes and P(class 1) (of more than two classes: of the predicted one) are -1 and NaN
        where the task has none.
        """
        e = self._experiment
        trio = (weak, student, ceiling)
        if isinstance(weak, Completions):
            tables = self._graded("test", e.test, [one.test for one in trio if isinstance(one, Completions)])
            attacked = [one.attacked for one in trio if isinstance(one, Completions) and one.attacked is not None]
            if e.attacked is not None and len(attacked) == len(WHO):
                tables += self._graded("attacked", e.attacked, attacked)
            return tables
        found = [one for one in trio if isinstance(one, Predictions)]
        tables = [self._classified("test", e.test, [one.test for one in found])]
        attacked_p = [one.attacked for one in found if one.attacked is not None]
        if e.attacked is not None and len(attacked_p) == len(WHO):
            tables.append(self._classified("attacked", e.attacked, attacked_p))
        return tables

    def curve(self, trained: Trained, weak: Outputs) -> dict[str, list[float]] | None:
        """Accuracy and agreement with the supervisor over the student's training, by share of it done."""
        history = trained.history
        if isinstance(weak, Completions) or not history.watched:
            return None
        curve = imitation_curve(np.array(history.watched), weak.test.argmax(1), self._truth)
        steps = max(history.steps[-1], 1)
        return {"progress": [step / steps for step in history.steps], **curve}

    def probes(self, context: SplitContext, spec: str, trained: Trained) -> Columns:
        """Where linear probes, trained on half 1, are right on the test rows before and after weak finetuning.

        Empty where the representation is frozen.
        """
        e = self._experiment
        if trained.student is None or frozen(spec) or e.kind != "classify":
            return {}
        return {
            f"probe_{when}": probed(student.features(e.half1), e.labels1, student.features(e.test), self._truth)
            for when, student in (("before", context.untrained(spec)), ("after", trained.student))
        }

    def _classified(self, part: str, rows: Rows, found: Sequence[Floats]) -> Columns:
        table = self._table(part, rows, self._truth)
        for who, p in zip(WHO, found, strict=True):
            table[f"{who}_score"] = right(p, self._truth)
            table[f"{who}_class"] = p.argmax(1).astype(np.int64)
            table[f"{who}_p"] = p[:, 1] if p.shape[1] == 2 else p.max(1)
        return table

    def _graded(self, part: str, rows: Rows, completions: Sequence[tuple[str, ...]]) -> list[Columns]:
        grades = [graded(self._task, rows, texts) for texts in completions]
        tables = []
        for name in grades[0]:
            values = [grade[name] for grade in grades]
            kept = np.flatnonzero(~np.isnan(values[0]))
            if not len(kept):
                continue
            where = part if name == "accuracy" else name if part == "test" else f"{part} {name}"
            table = self._table(where, rows.take(kept), self._truth[kept])
            for who, value in zip(WHO, values, strict=True):
                table[f"{who}_score"] = value[kept]
                table[f"{who}_class"] = np.full(len(kept), -1, dtype=np.int64)
                table[f"{who}_p"] = np.full(len(kept), np.nan)
            tables.append(table)
        return tables

    def _table(self, part: str, rows: Rows, truth: Ints) -> Columns:
        return {
            "part": np.full(len(rows), part, dtype=object),
            "id": np.array(rows.ids, dtype=object),
            "cluster": np.array(rows.groups, dtype=object),
            "truth": truth,
        }
