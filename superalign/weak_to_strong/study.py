"""One study: a task, a supervisor and a student under every method asked for, on one split, scored row by row."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superalign.config.schema import Config
from superalign.data.columns import one_column_each
from superalign.weak_to_strong.base import Task
from superalign.weak_to_strong.cache import Cache
from superalign.weak_to_strong.methods.imitation import Completions
from superalign.weak_to_strong.methods.label_transforms import transformed
from superalign.weak_to_strong.methods.registry import Method, Trained, methods_for
from superalign.weak_to_strong.methods.supervisors import supervised
from superalign.weak_to_strong.metrics.predictors import error_simulatability, misfit, overlap_density
from superalign.weak_to_strong.metrics.scorer import Columns, Outputs, Scorer
from superalign.weak_to_strong.protocol import right, split
from superalign.weak_to_strong.split_context import Specs, SplitContext, frozen
from superalign.weak_to_strong.tasks.registry import load_task

log = logging.getLogger(__name__)
Forecasts = dict[str, float | None]


@dataclass(frozen=True)
class Study:
    """What is compared: methods on a task, under a supervisor, with two models.

    Attributes:
        task: its name, or a reference to it.
        supervisor: `weak`, or an error structure of the weak model's accuracy.
        weak, strong: specs of the models.
    """

    task: str
    supervisor: str
    weak: str
    strong: str


@dataclass
class Trial:
    """One method in one study on one split.

    Attributes:
        info: the study, method, labels, oracle, curve, forecast, notes, seconds.
        columns: row by row, scores of weak, student and ceiling in [0, 1], with their classes and P(class).
    """

    info: dict[str, Any]
    columns: list[Columns]


class StudyWorker:
    """Runs studies in its own process; the only place where labels are opened.

    Args:
        config: the settings of the run.
        cache: folder of weak labels, ceilings and features.
    """

    def __init__(self, config: Config, cache: str) -> None:
        import torch

        torch.set_num_threads(config.cluster.threads)
        self.config, self.cache = config, Cache(Path(cache))
        self._tasks: dict[str, Task] = {}

    def run(self, study: Study, number: int) -> list[Trial]:
        """Every method of the settings that the task's kind allows, on split `number`."""
        task = self._task(study.task)
        experiment = split(task, self.config.seed + number)
        original = SplitContext(experiment, self.config, self.cache)
        context, weak, labels, specs = supervised(original, (study.weak, study.strong), study.supervisor)
        scorer, forecasts = Scorer(task, experiment), _forecasts(context, weak, specs)
        trials = []
        for name, method in methods_for(self.config, task.kind).items():
            log.info("split %d: %s, %s", number, study, name)
            began, before = time.perf_counter(), len(experiment.openings())
            changes = transforms(self.config, method)
            trained = method.train(context, transformed(labels, changes, context, specs), specs)
            info = {
                "task": task.name,
                "supervisor": study.supervisor,
                "weak": study.weak,
                "strong": study.strong,
                "method": name,
                "labels": changes,
                "oracle": len(experiment.openings()) > before,
                "seconds": time.perf_counter() - began,
                "notes": trained.history.notes,
                "curve": scorer.curve(trained, weak),
                "forecast": _with_misfit(forecasts, weak, trained),
            }
            columns = scorer.columns(weak, trained.outputs, method.ceiling(original, study.strong))
            columns[0] |= scorer.probes(context, specs[1], trained)  # the first table is of the test rows
            trials.append(Trial(info, columns))
        return trials

    def _task(self, name: str) -> Task:
        if name not in self._tasks:
            self._tasks[name] = load(self.config, name)
        return self._tasks[name]


def load(config: Config, name: str) -> Task:
    """The task of a name or reference, with the rows that the settings name."""
    d = config.data
    columns = one_column_each(d.columns)
    return load_task(name, d.source, columns, d.hub_split, d.limit, config.seed, config.plugin, d.encoding)


def transforms(config: Config, method: Method) -> str:
    """The transforms of the settings, then the method's own."""
    return "+".join(filter(None, (config.w2s.labels, method.labels)))


def _forecasts(context: SplitContext, weak: Outputs, specs: Specs) -> Forecasts | None:
    """Forecasts of the gain before any student is trained; None where there are no classes or no frozen features."""
    if isinstance(weak, Completions) or not frozen(specs[1]) or specs[1] == "vectors:":
        return None
    e, student = context.experiment, context.untrained(specs[1])
    p = context.crossfit(specs[0])
    known = np.flatnonzero(~np.isnan(p).any(1))
    rows, wrong = e.half1.take(known), 1 - right(p[known], e.labels1[known])
    return {
        "simulatability": error_simulatability(student.features(rows), wrong, rows.groups, context.seed),
        "overlap_density": overlap_density(weak.half2, student.features(e.half2)),
    }


def _with_misfit(forecasts: Forecasts | None, weak: Outputs, trained: Trained) -> Forecasts | None:
    """The forecasts with the one that needs the student's outputs."""
    if forecasts is None or isinstance(weak, Completions) or isinstance(trained.outputs, Completions):
        return None
    return {"misfit": misfit(trained.outputs.test, weak.test), **forecasts}
