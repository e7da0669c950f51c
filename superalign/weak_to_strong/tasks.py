"""The tasks by name, each with the models it is first tried with; nothing heavy is imported before one is loaded."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from superalign.compose import nearest
from superalign.errors import UserError
from superalign.records import content_id
from superalign.weak_to_strong.base import Kind, Rows, Task
from superalign.weak_to_strong.examples import MIN_ROWS, assemble

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
class TaskSpec:
    """A task that can be loaded.

    Attributes:
        summary: one line for the command line.
        load: the task from a source.
        weak, strong: supervisor and student on the embedded rows; `weak_file`, `strong_file` on others.
        via: students between them, for bootstrapping.
        format: the columns of a file, in one line.
    """

    name: str
    kind: Kind
    summary: str
    load: Callable[[TaskSpec, Source], Task]
    weak: str
    strong: str
    weak_file: str
    strong_file: str
    format: str
    via: tuple[str, ...] = ()

    def defaults(self, source: str) -> tuple[str, str]:
        """Supervisor and student for rows of a source."""
        return (self.weak, self.strong) if source == TESTBED else (self.weak_file, self.strong_file)


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
        from superalign.weak_to_strong.testbed_tasks import MAKERS

        draft = MAKERS[spec.name](source.limit or ROWS, source.seed)
    else:
        from superalign.weak_to_strong.task_files import read

        draft = read(spec.name, source.name, source.columns, source.hub_split, source.seed)
    return assemble(spec.name, spec.kind, draft, source.name, source.limit, source.seed)


def _texts(name: str, kind: Kind, summary: str, format: str) -> TaskSpec:
    """A task of texts: probes of two language models on the grammar, bags of words and LSA on unknown texts."""
    if kind == "generate":
        weak, strong = "lora:testbed-small", "lora:testbed"
        return TaskSpec(name, kind, summary, _load_texts, weak, strong, weak, strong, format)
    return TaskSpec(
        name, kind, summary, _load_texts, "probe:testbed-small", "probe:testbed", "words:60", "lsa:300", format
    )


TASKS: Final[dict[str, TaskSpec]] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="digits",
            kind="classify",
            summary="is the handwritten digit one of 1, 4, 5, 7, 9? (the vision analog)",
            load=_load_digits,
            weak="pixels:4",
            strong="centroids:300",
            weak_file="pixels:4",
            strong_file="centroids:300",
            format="embedded only",
            via=("centroids:30", "centroids:100"),
        ),
        _texts(
            "qa",
            "classify",
            "is the proposed answer to the question right?",
            "question, answer, distractor (one, a list, or distractor1..3); or text, response (optional), label 0/1",
        ),
        _texts("chess", "generate", "the best move; embedded: the right answer to a request", "fen, best_move_uci"),
        _texts("pairs", "pairs", "which of two responses is better?", "prompt, chosen, rejected (equal ones skipped)"),
        _texts(
            "safety",
            "classify",
            "is the response to the prompt unsafe?",
            "prompt, response (optional), label safe/unsafe or 0/1 (of a column is_safe: 1 is safe)",
        ),
        _texts(
            "refusal",
            "generate",
            "refuse what harms and answer the rest",
            "prompt, label benign/harmful or 0/1, target (optional: the answer; of harmful rows only if it refuses)",
        ),
        _texts("toxicity", "classify", "is the text toxic?", "text, label nontoxic/toxic or 0/1"),
        _texts(
            "continuation",
            "generate",
            "go on without toxicity after the first half of a text",
            "text (4 words or more, shorter ones skipped), label nontoxic/toxic or 0/1",
        ),
        _texts(
            "nli",
            "classify",
            "does the premise entail the hypothesis, contradict it, or not mention it? (contracts)",
            "premise, hypothesis, label entailment/contradiction/not mentioned, doc_id (optional: the group)",
        ),
        _texts("clauses", "classify", "which type of clause is it?", "text, label (its values are the classes)"),
        _texts(
            "policy",
            "classify",
            "does the text of a privacy policy bear on the question?",
            "question, text, label irrelevant/relevant or 0/1",
        ),
    )
}
