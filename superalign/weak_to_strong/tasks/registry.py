"""The tasks by name, each with the models it is first tried with; nothing heavy is imported before one is loaded."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from superalign.errors import UserError, nearest
from superalign.records import content_id
from superalign.weak_to_strong.base import Kind, Rows, Task
from superalign.weak_to_strong.catalogue import TASK_LINES
from superalign.weak_to_strong.tasks.examples import MIN_ROWS, assemble

TESTBED: Final = "testbed"
ROWS: Final = 1600  # of an embedded task, where no limit is given
ODD_ONES: Final = (1, 4, 5, 7, 9)


@dataclass(frozen=True)
class Source:
    """Where rows come from: `testbed`, a path, or `hub:NAME`; our fields to its columns; how many rows, drawn how."""

    name: str = TESTBED
    columns: Mapping[str, str] = field(default_factory=dict)
    hub_split: str = "train"
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Models:
    """The models that a task is first tried with: supervisor, student, and those between them for bootstrapping."""

    weak: str
    strong: str
    via: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskSpec:
    """A task that can be loaded.

    Attributes:
        summary: one line for the command line.
        load: the task from a source.
        embedded, others: the models for the embedded rows, and for those of other sources.
        format: the columns of a file, in one line.
    """

    name: str
    kind: Kind
    summary: str
    load: Callable[[TaskSpec, Source], Task]
    embedded: Models
    others: Models
    format: str

    def models(self, source: str) -> Models:
        """The models for rows of a source."""
        return self.embedded if source == TESTBED else self.others


def load_task(
    name: str,
    source: str = TESTBED,
    columns: Mapping[str, str] | None = None,
    hub_split: str = "train",
    limit: int | None = None,
    seed: int = 0,
) -> Task:
    """A task with its rows; the same arguments give the same rows.

    Args:
        name: a key of `TASKS`.
        source: `testbed` (embedded), a .jsonl/.csv/.parquet path, or `hub:NAME`.
        columns: our fields to the columns of the source.
        hub_split: which split of a hub dataset.
        limit: at most that many rows, drawn in whole groups by `seed`.
        seed: of everything that is drawn.

    Raises:
        UserError: there is no such task; or the source cannot be read, lacks a column, has a malformed line or an
            unknown label, fewer than 40 rows or one class alone. The message names file and line.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}{nearest(name, TASKS)} (there is: {', '.join(TASKS)})")
    if limit is not None and limit < MIN_ROWS:
        raise UserError(f"data.limit={limit}: a task needs at least {MIN_ROWS} rows")
    return TASKS[name].load(TASKS[name], Source(source, columns or {}, hub_split, limit, seed))


def _load_digits(spec: TaskSpec, source: Source) -> Task:
    if source.name != TESTBED:
        raise UserError(f"data.source={source.name}: task digits has its own images; leave data.source out")
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    chosen = np.arange(len(digits))
    if source.limit is not None and source.limit < len(digits):
        chosen = np.array(sorted(random.Random(f"limit/{source.seed}").sample(range(len(digits)), source.limit)))
    ids = tuple(content_id(spec.name, i) for i in chosen)
    return Task(
        name=spec.name,
        kind=spec.kind,
        rows=Rows(ids, ids, (images[chosen] / 16).astype(np.float32)),
        labels=np.isin(digits[chosen], ODD_ONES).astype(np.int64),
        classes=("other digits", "1 4 5 7 9"),
    )


def _load_texts(spec: TaskSpec, source: Source) -> Task:
    if source.name == TESTBED:
        from superalign.weak_to_strong.tasks.testbed import MAKERS

        draft = MAKERS[spec.name](source.limit or ROWS, source.seed)
    else:
        from superalign.weak_to_strong.tasks.readers import read

        draft = read(spec.name, source.name, source.columns, source.hub_split, source.seed)
    return assemble(spec.name, spec.kind, draft, source.name, source.limit, source.seed)


def _texts(name: str, kind: Kind, format: str) -> TaskSpec:
    """A task of texts: probes of two language models on the grammar, bags of words and LSA on unknown texts."""
    if kind == "generate":
        trio = Models("lora:testbed-small", "lora:testbed")
        return TaskSpec(name, kind, TASK_LINES[name], _load_texts, trio, trio, format)
    embedded = Models("probe:testbed-small", "probe:testbed", ("probe:testbed@2",))
    return TaskSpec(
        name, kind, TASK_LINES[name], _load_texts, embedded, Models("words:60", "lsa:300", ("lsa:100",)), format
    )


DIGITS: Final = Models("pixels:4", "centroids:300", ("centroids:30", "centroids:100"))
TASKS: Final[dict[str, TaskSpec]] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="digits",
            kind="classify",
            summary=TASK_LINES["digits"],
            load=_load_digits,
            embedded=DIGITS,
            others=DIGITS,
            format="embedded only",
        ),
        _texts(
            "qa",
            "classify",
            "question, answer, distractor (one, a list, or distractor1..3); or text, response (optional), label 0/1",
        ),
        _texts("chess", "generate", "fen, best_move_uci"),
        _texts("pairs", "pairs", "prompt, chosen, rejected (equal ones skipped)"),
        _texts(
            "safety",
            "classify",
            "prompt, response (optional), label safe/unsafe or 0/1 (of a column is_safe: 1 is safe)",
        ),
        _texts(
            "refusal",
            "generate",
            "prompt, label benign/harmful or 0/1, target (optional: the answer; of harmful rows only if it refuses)",
        ),
        _texts("toxicity", "classify", "text, label nontoxic/toxic or 0/1"),
        _texts(
            "continuation",
            "generate",
            "text (4 words or more, shorter ones skipped), label nontoxic/toxic or 0/1",
        ),
        _texts(
            "nli",
            "classify",
            "premise, hypothesis, label entailment/contradiction/not mentioned, doc_id (optional: the group)",
        ),
        _texts("clauses", "classify", "text, label (its values are the classes)"),
        _texts(
            "policy",
            "classify",
            "question, text, label irrelevant/relevant or 0/1",
        ),
    )
}
