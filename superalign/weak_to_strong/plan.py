"""The studies that the settings ask for, and what is known to fail before anything is trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.registry import TASKS, short_name
from superalign.weak_to_strong.base import Task
from superalign.weak_to_strong.methods import label_transforms, supervisors
from superalign.weak_to_strong.methods.error_structures import STRUCTURES
from superalign.weak_to_strong.methods.registry import make_method, methods_for
from superalign.weak_to_strong.models.checks import check_model
from superalign.weak_to_strong.models.policy import model_of
from superalign.weak_to_strong.protocol import parts_of
from superalign.weak_to_strong.study import Study, load, transforms
from superalign.weak_to_strong.tasks.registry import TESTBED, make_task


def studies(config: Config) -> list[Study]:
    """Every task with every supervisor, weak and strong model asked for; the task's own models where none is named.

    Raises:
        UserError: a name is unknown or stands for two things, a method suits no task, or one file is given for
            several tasks.
    """
    tasks = {name: make_task(name, config.plugin) for name in config.task}
    if not tasks:
        raise UserError(f"task names nothing: give at least one of {', '.join(TASKS.names())}")
    if not config.w2s.supervisor:
        raise UserError(f"w2s.supervisor names nothing: give at least one of {', '.join(STRUCTURES)}")
    for structure in config.w2s.supervisor:
        supervisors.check_name(structure)
    label_transforms.parse(config.w2s.labels)
    _check_different("task", (spec.name for spec in tasks.values()))
    _check_different("method", map(short_name, dict.fromkeys(config.method)))
    for name in config.method:
        kinds = make_method(name, config.plugin).kinds
        if not any(spec.kind in kinds for spec in tasks.values()):
            fitting = ", ".join(each for each in TASKS.builtin if make_task(each).kind in kinds)
            raise UserError(f"method={name} suits none of the tasks given: it is for {fitting}")
    if config.data.source != TESTBED and len(tasks) > 1:
        raise UserError(f"data={config.data.source} is read by one task: give task= one name, not {len(tasks)}")
    found = []
    for name, spec in tasks.items():
        own = spec.models(config.data.source)
        weak, strong = config.weak or (own.weak,), config.strong or (own.strong,)
        found += [Study(name, *each) for each in itertools.product(config.w2s.supervisor, weak, strong)]
    return list(dict.fromkeys(found))


def preflight(config: Config, plan: Sequence[Study]) -> None:
    """Refuse, before anything is trained, what is known to fail.

    Raises:
        UserError: a source is malformed, a task cannot be split, a supervisor, method or transform is not for a task,
            or a model is unknown, does not read its rows or does not fit into memory.
    """
    loaded: dict[str, Task] = {}
    for study in plan:
        if study.task not in loaded:
            loaded[study.task] = load(config, study.task)
            for number in range(config.w2s.seeds):
                parts_of(loaded[study.task], config.seed + number)
        task, specs = loaded[study.task], (study.weak, study.strong)
        supervisors.check(study.supervisor, task.name, task.kind)
        for name, method in methods_for(config, task.kind).items():
            label_transforms.check(transforms(config, method), task.name, task.kind, task.rows.inputs)
            for position in method.policies:
                model_of(specs[position], f"method={name}")
            method.check(config, task, specs)
        for spec in specs:
            check_model(spec, task)


def _check_different(setting: str, names: Iterable[str]) -> None:
    """Refuse two plug-ins of one name, whose results could not be told apart."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{setting}: two are called {name!r} in results: give them different names")
        seen.add(name)
