"""What a task is, and tasks by name: built-in, `module:Class`, `path/to/file.py:Class`, or an entry point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from superalign.errors import UserError
from superalign.registry import TASKS
from superalign.weak_to_strong.base import Kind, Task
from superalign.weak_to_strong.tasks.examples import MIN_ROWS

TESTBED: Final = "testbed"
Plugins = Mapping[str, Mapping[str, Any]]  # settings by name of the plug-in, as `config.plugin` has them


@dataclass(frozen=True)
class DataSource:
    """Where a task's rows come from, and how many are drawn.

    Attributes:
        name: `testbed` (the task's own rows), the path of a file, or `hub:NAME`.
        columns: the columns of the task's fields, where they differ.
        hub_split: which split of a hub dataset.
        limit: at most that many rows, None for all.
        seed: of everything that is drawn.
        encoding: of a file that is neither UTF-8 nor UTF-16.
    """

    name: str = TESTBED
    columns: Mapping[str, str] = field(default_factory=dict)
    hub_split: str = "train"
    limit: int | None = None
    seed: int = 0
    encoding: str | None = None


@dataclass(frozen=True)
class Models:
    """The models that a task is first tried with: supervisor, student, and those between them for bootstrapping."""

    weak: str
    strong: str
    via: tuple[str, ...] = ()


class TaskSpec(Protocol):
    """A task that can be loaded; `superalign.weak_to_strong.tasks.texts` has base classes for tasks of texts.

    Attributes:
        name: what the task is called in results and messages.
        kind: `classify`, `pairs` or `generate`.
    """

    name: str
    kind: Kind

    @abstractmethod
    def load(self, source: DataSource) -> Task:
        """The task with its rows; the same source gives the same rows.

        Raises:
            UserError: the source cannot be read, or is not what the task needs.
        """
        ...

    @abstractmethod
    def models(self, source: str) -> Models:
        """The models for rows of a source."""
        ...


def make_task(name: str, plugin: Plugins | None = None) -> TaskSpec:
    """The task of a name or reference, with its settings of `plugin`.

    Raises:
        UserError: there is none, it lacks what a task needs, or a setting of it is wrong.
    """
    task: TaskSpec = TASKS.make(name, plugin or {})
    return task


def load_task(
    name: str,
    source: str = TESTBED,
    columns: Mapping[str, str] | None = None,
    hub_split: str = "train",
    limit: int | None = None,
    seed: int = 0,
    plugin: Plugins | None = None,
    encoding: str | None = None,
) -> Task:
    """A task with its rows; the same arguments give the same rows.

    Args:
        name: the name of a task, or a reference to one.
        source: `testbed` (embedded), a file or a folder of files, or `hub:NAME`.
        columns: the columns of the task's fields, where they differ.
        hub_split: which split of a hub dataset.
        limit: at most that many rows, drawn in whole groups by `seed`.
        seed: of everything that is drawn.
        plugin: settings of plug-ins by name.
        encoding: of a file that is neither UTF-8 nor UTF-16.

    Raises:
        UserError: as `make_task`; or the source cannot be read, lacks a column, has a malformed line or an unknown
            label, fewer than 40 rows or one class alone. The message names file and line.
    """
    spec = make_task(name, plugin)
    if limit is not None and limit < MIN_ROWS:
        raise UserError(f"data.limit={limit}: a task needs at least {MIN_ROWS} rows")
    task = spec.load(DataSource(source, columns or {}, hub_split, limit, seed, encoding))
    return replace(task, via=spec.models(source).via)
