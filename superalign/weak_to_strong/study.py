"""One study: a task, a supervisor and a student under every method asked for, on one split, scored row by row."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superalign.config.schema import Config
from superalign.weak_to_strong.base import Task
from superalign.weak_to_strong.cache import Cache
from superalign.weak_to_strong.methods import imitation, label_transforms, supervisors
from superalign.weak_to_strong.methods.imitation import Said
from superalign.weak_to_strong.methods.label_transforms import Sources, transformed
from superalign.weak_to_strong.methods.registry import METHODS, Method, Trained, between_models, suited
from superalign.weak_to_strong.methods.supervisors import supervised
from superalign.weak_to_strong.metrics.predictors import error_simulatability, misfit, overlap_density
from superalign.weak_to_strong.metrics.scorer import Columns, Scorer
from superalign.weak_to_strong.models.backbones import check_layer, check_memory
from superalign.weak_to_strong.models.features import layered
from superalign.weak_to_strong.models.policy import check_same_vocabulary, model_of, texts_of
from superalign.weak_to_strong.models.registry import make_student
from superalign.weak_to_strong.protocol import Experiment, parts_of, right, split
from superalign.weak_to_strong.split_context import Lab, Predictions, frozen
from superalign.weak_to_strong.tasks import registry

log = logging.getLogger(__name__)
HONEST = frozenset({"ceiling", "scorer"})  # who may open sealed labels without making a method an oracle


@dataclass(frozen=True)
class Study:
    """What is compared: a task, a supervisor (`weak`, or an error structure of its accuracy), and two models."""

    task: str
    supervisor: str
    weak: str
    strong: str

    def key(self) -> dict[str, str]:
        """The study as columns."""
        return {"task": self.task, "supervisor": self.supervisor, "weak": self.weak, "strong": self.strong}


@dataclass
class Trial:
    """One method in one study on one split.

    Attributes:
        info: what is told of it: method, labels, oracle, curve, forecast, notes, seconds.
        columns: row by row, scores of weak, student and ceiling in [0, 1], with their classes and P(class).
    """

    info: dict[str, Any]
    columns: list[Columns]


class Bench:
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
        given = Lab(experiment, self.config, self.cache)
        lab, weak, labels, specs = supervised(given, (study.weak, study.strong), study.supervisor)
        scorer, outlook = Scorer(task, experiment), _outlook(lab, weak, specs)
        trials = []
        for name in suited(self.config, task.kind):
            method = METHODS[name]
            log.info("split %d: %s, %s", number, study, name)
            began, before = time.perf_counter(), len(_others(experiment))
            changes = _changes(self.config, method)
            trained = method.train(lab, transformed(labels, changes, Sources(lab, *specs)), specs)
            info = {
                **study.key(),
                "method": name,
                "labels": changes,
                "oracle": len(_others(experiment)) > before,
                "seconds": time.perf_counter() - began,
                "notes": trained.history.notes,
                "curve": scorer.curve(trained, weak),
                "forecast": _forecast(outlook, weak, trained),
            }
            ceiling = _ceiling(given, method, study.strong)
            columns = scorer.columns(weak, trained.found, ceiling)
            columns[0] |= scorer.probes(lab, specs[1], trained)  # the first table is of the test rows
            trials.append(Trial(info, columns))
        return trials

    def _task(self, name: str) -> Task:
        if name not in self._tasks:
            self._tasks[name] = _load(self.config, name)
        return self._tasks[name]


def preflight(config: Config, plan: Sequence[Study]) -> None:
    """Refuse, before anything is trained, what can be known to fail.

    Raises:
        UserError: a source is malformed, a task cannot be split, a supervisor, method or transform is not for a task,
            or a model is unknown, does not read its rows or does not fit into memory.
    """
    loaded: dict[str, Task] = {}
    for study in plan:
        if study.task not in loaded:
            loaded[study.task] = _load(config, study.task)
            for number in range(config.w2s.seeds):
                parts_of(loaded[study.task], config.seed + number)
        task, specs = loaded[study.task], (study.weak, study.strong)
        supervisors.check(study.supervisor, task.name, task.kind)
        for name in suited(config, task.kind):
            label_transforms.check(_changes(config, METHODS[name]), task.name, task.kind, task.rows.inputs)
            for position in METHODS[name].policies:
                model_of(specs[position], f"method={name}")
            if name == "wspo":
                check_same_vocabulary(*(model_of(spec, "method=wspo") for spec in specs))
            if name == "bootstrap":
                for between in between_models(config, task.name):
                    _check_spec(between, task)
        for spec in specs:
            _check_spec(spec, task)


def _check_spec(spec: str, task: Task) -> None:
    kind, _, argument = spec.partition(":")
    if task.kind == "generate":
        model_of(spec, f"task={task.name}")
    elif kind == "probe" and argument:  # its features take long and are made by the bench
        texts_of(task.rows.inputs, spec)
        model, layer = layered(argument)
        check_layer(spec, model, layer)
        check_memory(spec, model, trained=False)
    else:
        make_student(spec, task.rows, len(task.classes), task.kind, seed=0)


def _load(config: Config, name: str) -> Task:
    d = config.data
    return registry.load_task(name, d.source, d.columns, d.hub_split, d.limit, config.seed)


def _changes(config: Config, method: Method) -> str:
    """The transforms of the settings, then the method's own."""
    return "+".join(filter(None, (config.w2s.labels, method.labels)))


def _ceiling(lab: Lab, method: Method, strong: str) -> Predictions | Said:
    if lab.experiment.kind == "generate":
        return imitation.ceiling(lab, strong)
    return lab.ceiling(strong) if method.ceiling is None else method.ceiling(lab, strong)


def _outlook(lab: Lab, weak: Predictions | Said, specs: tuple[str, str]) -> dict[str, float | None] | None:
    """What forecasts the gain before any student is trained; None where there are no classes or no frozen features."""
    if isinstance(weak, Said) or not frozen(specs[1]) or specs[1] == "vectors:":
        return None
    e, student = lab.experiment, lab.untrained(specs[1])
    p = lab.crossfit(specs[0])
    known = np.flatnonzero(~np.isnan(p).any(1))
    seen, wrong = e.half1.take(known), 1 - right(p[known], e.labels1[known])
    return {
        "simulatability": error_simulatability(student.features(seen), wrong, seen.groups, lab.seed),
        "overlap_density": overlap_density(weak.half2, student.features(e.half2)),
    }


def _forecast(
    outlook: dict[str, float | None] | None, weak: Predictions | Said, trained: Trained
) -> dict[str, float | None] | None:
    if outlook is None or isinstance(weak, Said) or isinstance(trained.found, Said):
        return None
    return {"misfit": misfit(trained.found.test, weak.test), **outlook}


def _others(experiment: Experiment) -> list[str]:
    opened = (experiment.truth2, experiment.targets2, experiment.truth_test)
    return [who for truth in opened for who in truth.opened_by if who not in HONEST]
