"""The checks of weak-to-strong tasks and methods: rows that can be split, students that can be scored."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from superalign.config.schema import Config
from superalign.registry import METHODS, short_name
from superalign.testing.complaints import Subject
from superalign.testing.testbed import plugin_settings, settings
from superalign.weak_to_strong.base import Floats, Kind, Task
from superalign.weak_to_strong.cache import Cache
from superalign.weak_to_strong.methods.imitation import Completions
from superalign.weak_to_strong.methods.label_transforms import transformed
from superalign.weak_to_strong.methods.registry import Method, Trained, make_method
from superalign.weak_to_strong.methods.supervisors import supervised
from superalign.weak_to_strong.metrics.scorer import Outputs, Scorer
from superalign.weak_to_strong.models.checks import check_model
from superalign.weak_to_strong.plan import preflight, studies
from superalign.weak_to_strong.protocol import Experiment, parts_of, split
from superalign.weak_to_strong.split_context import Specs, SplitContext
from superalign.weak_to_strong.study import load, transforms
from superalign.weak_to_strong.tasks.registry import TESTBED, load_task, make_task

LIMIT: Final = 160  # rows of a task
POLICY: Final = "lora:testbed-small"


@dataclass(frozen=True)
class _Trial:
    """What a method is tried on: a built-in task of a kind, with so many rows and these models."""

    task: str
    models: Specs
    limit: int


TRIALS: Final[dict[Kind, _Trial]] = {
    "classify": _Trial("qa", ("words:10", "words:40"), 160),
    "pairs": _Trial("pairs", ("words:10", "words:40"), 160),
    "generate": _Trial("refusal", (POLICY, POLICY), 64),  # a language model writes all completions
}


def check_task(
    plugin: str | type,
    given: Mapping[str, Any] | None = None,
    source: str = TESTBED,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Check a task.

    Its rows have ids of their own, two classes or more, and can be split; the same source and seed give the same ones,
    at most as many as asked for. A task of generations has a completion and a grade in [0, 1] for each row. The models
    that it names for its own rows can learn them.

    Args:
        plugin: the class, or what `task=` would be.
        given: its settings.
        source: what `data.source=` would be: the rows that ship with the task, or a file.
        columns: what `data.columns=` would be.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("task", plugin)
    own = plugin_settings(short_name(subject.name), given)

    def loaded(limit: int | None, seed: int) -> Task:
        return load_task(subject.name, source, columns, limit=limit, seed=seed, plugin=own)

    with subject.doing("set-up"):
        spec = make_task(subject.name, own)
    subject.require(spec.kind in TRIALS, f"is of kind {spec.kind!r}; there is: {', '.join(TRIALS)}")
    with subject.doing("load(source)"):
        task, again, _ = loaded(LIMIT, 0), loaded(LIMIT, 0), loaded(LIMIT, 1)
    subject.require(task.name == spec.name, f"is called {spec.name!r}, but loads a task called {task.name!r}")
    subject.require(task.kind == spec.kind, f"is of kind {spec.kind!r}, but loads a task of kind {task.kind!r}")
    subject.require(len(task.rows) <= LIMIT, f"loads {len(task.rows)} rows where at most {LIMIT} are asked for")
    subject.require(len(set(task.rows.ids)) == len(task.rows), "loads two rows of one id")
    same = task.rows.digest() == again.rows.digest() and np.array_equal(task.labels, again.labels)
    subject.require(same, "loads other rows of the same source and seed the second time")
    _check_labels(subject, task)
    with subject.doing("splitting its rows"):
        parts_of(task, 0)
    with subject.doing("models(source)"):
        models = spec.models(source)
        for each in (models.weak, models.strong, *models.via) if source == TESTBED else ():
            check_model(each, loaded(None, 0))


def _check_labels(subject: Subject, task: Task) -> None:
    fits = len(task.labels) == len(task.rows) and set(task.labels.tolist()) <= set(range(len(task.classes)))
    subject.require(fits, f"has labels that are no positions of its {len(task.classes)} classes, one for each row")
    if task.kind == "pairs":
        subject.require(task.rows.seconds is not None, "is of pairs, but its rows have no second responses")
    if task.kind != "generate":
        return
    targets = task.targets or ()
    subject.require(len(targets) == len(task.rows), f"has {len(targets)} completions for {len(task.rows)} rows")
    subject.require(task.grade is not None, "is of generations, but grades no completion")
    assert task.grade is not None
    for row, target in zip(task.rows.ids, targets, strict=True):
        with subject.doing("grade(id, completion)"):
            grades = task.grade(row, target)
        subject.require("accuracy" in grades, f"grades {', '.join(grades) or 'nothing'}, but not accuracy")
        fine = all(0 <= grade <= 1 for grade in grades.values())
        subject.require(fine, f"gives the grades {grades}, which are not all in [0, 1]")


def check_method(plugin: str | type, given: Mapping[str, Any] | None = None, oracle: bool = False) -> None:
    """Check a method, on a small embedded task of each kind that it is for.

    Its student has P(class) or a completion for every row, the same each time, and is scored. It opens no sealed label
    unless it is meant to.

    Args:
        plugin: the class, or what `method=` would be.
        given: its settings.
        oracle: whether it may open sealed labels, by which reports show it as an oracle.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject.of("method", plugin)
    with subject.doing("set-up"):
        METHODS.load(subject.name)
        method = make_method(subject.name, plugin_settings(short_name(subject.name), given))
    unknown = [kind for kind in method.kinds if kind not in TRIALS]
    subject.require(method.kinds, "is for no kind of task")
    subject.require(not unknown, f"is for tasks of kind {unknown[:1]}; there is: {', '.join(TRIALS)}")
    for kind in method.kinds:
        with tempfile.TemporaryDirectory() as folder:
            first, second = (_attempt(subject, kind, given, Path(folder)) for _ in range(2))
            _check_outputs(subject, first)
            same = all(np.array_equal(a, b) for a, b in zip(first.outputs, second.outputs, strict=True))
            subject.require(same, f"trains another student of the same labels the second time, on {first.where}")
            opened = sorted(first.opened)
            subject.require(oracle or not opened, f"opens sealed labels (as {', '.join(opened)}): it is an oracle")
            with subject.doing(f"scoring its student on {first.where}"):
                first.score()


@dataclass(frozen=True)
class _Attempt:
    """A method on one split of a small task."""

    task: Task
    experiment: Experiment
    method: Method
    context: SplitContext
    strong: str
    weak: Outputs
    trained: Trained
    opened: set[str]

    @property
    def where(self) -> str:
        """The task, for messages."""
        return f"task={self.task.name}"

    @property
    def outputs(self) -> list[Any]:
        """Its student's outputs on half 2 and on the test rows."""
        return [np.asarray(part) for part in (self.trained.outputs.half2, self.trained.outputs.test)]

    def score(self) -> None:
        """Compare weak, student and ceiling."""
        ceiling = self.method.ceiling(self.context, self.strong)
        Scorer(self.task, self.experiment).columns(self.weak, self.trained.outputs, ceiling)


def _attempt(subject: Subject, kind: Kind, given: Mapping[str, Any] | None, cache: Path) -> _Attempt:
    config, where = _config(subject, kind, given), f"task={TRIALS[kind].task}"
    method = make_method(subject.name, config.plugin)
    with subject.doing(f"the check before training on {where}"):
        (study,) = plan = studies(config)
        preflight(config, plan)
    task = load(config, study.task)
    experiment = split(task, config.seed)
    original = SplitContext(experiment, config, Cache(cache))
    context, weak, labels, specs = supervised(original, (study.weak, study.strong), study.supervisor)
    with subject.doing(f"train(context, labels, specs) on {where}"):
        trained = method.train(context, transformed(labels, transforms(config, method), context, specs), specs)
    subject.require(isinstance(trained, Trained), f"gives a {type(trained).__name__} and no Trained on {where}")
    return _Attempt(task, experiment, method, original, study.strong, weak, trained, experiment.opened_by())


def _config(subject: Subject, kind: Kind, given: Mapping[str, Any] | None) -> Config:
    own = plugin_settings(short_name(subject.name), given)
    policies = make_method(subject.name, own).policies
    trial = TRIALS[kind]
    weak, strong = (POLICY if n in policies else spec for n, spec in enumerate(trial.models))
    epochs = 1 if POLICY in (weak, strong) else None
    return settings(
        task=(trial.task,),
        method=(subject.name,),
        weak=(weak,),
        strong=(strong,),
        data={"limit": trial.limit},
        w2s={"seeds": 1, "epochs": epochs, "via": (weak,)},
        plugin=own,
    )


def _check_outputs(subject: Subject, attempt: _Attempt) -> None:
    e, outputs = attempt.experiment, attempt.trained.outputs
    generates = isinstance(outputs, Completions)
    wanted = "Completions" if e.kind == "generate" else "Predictions"
    subject.require(generates == (e.kind == "generate"), f"gives a {type(outputs).__name__} and no {wanted}")
    for name, part, rows in zip(("half 2", "test"), attempt.outputs, (e.half2, e.test), strict=True):
        asked = f"{len(rows)} rows of {name}"
        subject.require(len(part) == len(rows), f"gives {len(part)} outputs for {asked}")
        if not generates:
            _check_probabilities(subject, part, e.classes, asked)


def _check_probabilities(subject: Subject, p: Floats, classes: int, rows: str) -> None:
    shape = (len(p), classes)
    subject.require(p.shape == shape, f"gives probabilities of shape {p.shape} and not {shape} for {rows}")
    fine = math.isfinite(p.sum()) and (p >= 0).all() and np.allclose(p.sum(1), 1, atol=1e-4)
    subject.require(fine, f"gives probabilities for {rows} that do not sum to 1 over the classes")
