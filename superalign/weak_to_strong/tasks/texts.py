"""Base classes for tasks of texts: embedded examples, or the rows of a file or a hub dataset, become a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from superalign.data.tables import read_rows
from superalign.errors import UserError, nearest
from superalign.weak_to_strong.base import Kind, Task
from superalign.weak_to_strong.tasks.examples import MIN_ROWS, Draft, assemble
from superalign.weak_to_strong.tasks.fields import TaskRow
from superalign.weak_to_strong.tasks.hub_datasets import PRESETS
from superalign.weak_to_strong.tasks.registry import TESTBED, DataSource, Models, TaskSpec

ROWS: Final = 1600  # embedded, where no limit is given
PROBES: Final = Models("probe:testbed-small", "probe:testbed", ("probe:testbed@2",))
BAGS_OF_WORDS: Final = Models("words:60", "lsa:300", ("lsa:100",))
POLICIES: Final = Models("lora:testbed-small", "lora:testbed")


class TextTask(TaskSpec):
    """Texts in classes. Derive from it, name the task, and write `embedded` or `read`, or both.

    A task with settings has a class `Settings` (a `Section`) in it and is made as `Class(settings)`.

    Attributes:
        fields: what a row of a file holds; `data.columns.FIELD=COLUMN` where a column has another name.
        embedded_models, file_models: the models that are tried first, on embedded rows and on those of a file.
    """

    kind: Kind = "classify"
    fields: ClassVar[tuple[str, ...]] = ()
    embedded_models: ClassVar[Models] = PROBES
    file_models: ClassVar[Models] = BAGS_OF_WORDS

    def embedded(self, n: int, seed: int) -> Draft:
        """About n examples that ship with the task, drawn by seed."""
        raise UserError(f"task={self.name} has no rows of its own: give data=FILE or data=hub:NAME")

    def read(self, rows: Sequence[TaskRow], seed: int) -> Draft:
        """The examples in the rows of a file or a hub dataset; what is drawn, is drawn by seed."""
        raise UserError(f"task={self.name} has its own rows: leave data.source out")

    def load(self, source: DataSource) -> Task:
        """The task with its rows."""
        if source.name == TESTBED:
            draft = self.embedded(source.limit or ROWS, source.seed)
        else:
            draft = self.read(self._rows(source), source.seed)
            if not draft.examples:
                raise UserError(
                    f"data.source={source.name}: task {self.name} finds no rows in it; at least {MIN_ROWS} are needed"
                )
        return assemble(self.name, self.kind, draft, source.name, source.limit, source.seed)

    def models(self, source: str) -> Models:
        """Other models for texts of which nothing is known than for embedded ones."""
        return self.embedded_models if source == TESTBED else self.file_models

    def _rows(self, source: DataSource) -> list[TaskRow]:
        """The rows of a file or hub dataset; a hub dataset whose columns are known for this task needs no `columns`."""
        for name in source.columns:
            if name not in self.fields:
                known = f"fields of {self.name}: {', '.join(self.fields)}"
                raise UserError(f"unknown key data.columns.{name}{nearest(name, self.fields)} ({known})")
        read = read_rows(source.name, source.hub_split, "data.source", source.encoding)
        rows: Iterable[TaskRow] = (TaskRow(where, values, source.columns) for where, values in read)
        hub = source.name.removeprefix("hub:")
        preset = PRESETS.get(hub) if source.name != hub and not source.columns else None
        if preset is not None and preset.task == self.name:
            rows = (TaskRow(row.where, values, {}) for row in rows for values in preset.rows(row.where, row.values))
        return list(rows)


class PairTask(TextTask):
    """Pairs of responses, of which one is better: label 1 where it is the first."""

    kind: Kind = "pairs"


class GenerationTask(TextTask):
    """Completions: an example has a target to imitate, and the draft a grade of what is completed."""

    kind: Kind = "generate"
    embedded_models: ClassVar[Models] = POLICIES
    file_models: ClassVar[Models] = POLICIES
