"""From any record of a run to what it came from and what it led to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from superalign.errors import UserError
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Record, Response
from superalign.store.folder import RunFolder
from superalign.store.tables import read_if_written

TABLES: Final[dict[str, type[Record]]] = {
    "queries": Query,
    "responses": Response,
    "critiques": Critique,
    "judgements": Judgement,
    "labels": ExpertLabel,
    "preferences": Preference,
}
Key = tuple[str, str]
"""A table and the id of a record in it."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records of each kind; of two with the same id, the newer."""

    queries: tuple[Query, ...] = ()
    responses: tuple[Response, ...] = ()
    critiques: tuple[Critique, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    labels: tuple[ExpertLabel, ...] = ()
    preferences: tuple[Preference, ...] = ()

    def __len__(self) -> int:
        return sum(len(getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a record stands in its run.

    Attributes:
        table: the table that it stands in, for example `preferences`.
        rounds: the rounds in which it stands; an archived query is asked in several.
        came_from: everything that it rests on.
        led_to: everything that rests on it.
    """

    table: str
    record: Record
    rounds: tuple[int, ...]
    came_from: Records
    led_to: Records


def lineage(run: RunFolder, record_id: str) -> Lineage:
    """Follow a record through the committed rounds, back and forth.

    A query leads to its responses; a response to judgements and critiques of it; the judgement of a response to its
    critique; a critique to the revision; a judgement to experts' labels; and a preference rests on its two responses,
    on what the critic and experts said of them, alone and as a pair.

    Raises:
        UserError: no committed round has a record of this id.
    """
    graph = _Graph(run)
    key = next((key for key in graph.versions if key[1] == record_id), None)
    if key is None:
        raise UserError(f"no record {record_id} in {run.folder}: take an id from a table in rounds/*/*.parquet")
    rounds = tuple(sorted(graph.versions[key]))
    return Lineage(
        table=key[0],
        record=graph.newest(key, rounds[-1]),
        rounds=rounds,
        came_from=graph.records(graph.reached(key, graph.parents), until=rounds[-1]),
        led_to=graph.records(graph.reached(key, graph.children)),
    )


class _Graph:
    """All records of a run by round, and which leads to which."""

    def __init__(self, run: RunFolder) -> None:
        self.versions: dict[Key, dict[int, Any]] = {}
        self._parents: dict[Key, set[Key]] = defaultdict(set)
        self._children: dict[Key, set[Key]] = defaultdict(set)
        revised: list[tuple[Critique, Response]] = []
        for round in run.rounds():
            folder = run.round_path(round)
            tables: dict[str, list[Any]] = {
                table: read_if_written(folder, table, kind) for table, kind in TABLES.items()
            }
            for table, records in tables.items():
                for record in records:
                    self.versions.setdefault((table, record.id), {})[round] = record
            revised += self._revisions(tables["critiques"], tables["responses"])
        self._link_all()
        for critique, revision in revised:
            self._link(("critiques", critique.id), ("responses", revision.id))

    def parents(self, key: Key) -> Iterator[Key]:
        """What a record directly rests on; nothing of a later round can."""
        last = max(self.versions[key])
        return (parent for parent in self._parents[key] if min(self.versions[parent]) <= last)

    def children(self, key: Key) -> Iterator[Key]:
        """What directly rests on a record."""
        first = min(self.versions[key])
        return (child for child in self._children[key] if first <= max(self.versions[child]))

    def reached(self, start: Key, step: Callable[[Key], Iterator[Key]]) -> set[Key]:
        """All that a record is linked with, near and far, in one direction."""
        found, waiting = {start}, [start]
        while waiting:
            fresh = set(step(waiting.pop())) - found
            found |= fresh
            waiting += fresh
        return found - {start}

    def newest(self, key: Key, until: int | None = None) -> Any:
        """The newest version of a record, up to a round."""
        versions = self.versions[key]
        return versions[max(round for round in versions if until is None or round <= until)]

    def records(self, keys: set[Key], until: int | None = None) -> Records:
        """Records in the order in which the run wrote them."""
        found: dict[str, list[Any]] = {table: [] for table in TABLES}
        for key in self.versions:
            if key in keys:
                found[key[0]].append(self.newest(key, until))
        return Records(**{table: tuple(records) for table, records in found.items()})

    def _link_all(self) -> None:
        critiques: dict[str, list[Critique]] = defaultdict(list)  # by response
        judgements: dict[str, list[Judgement]] = defaultdict(list)  # by response
        labels: dict[str, list[ExpertLabel]] = defaultdict(list)  # by judgement
        for response in self._all("responses"):
            self._link(("queries", response.query_id), ("responses", response.id))
        for critique in self._all("critiques"):
            critiques[critique.response_id].append(critique)
            self._link(("responses", critique.response_id), ("critiques", critique.id))
        for judgement in self._all("judgements"):
            for answer in filter(None, (judgement.first_id, judgement.second_id)):
                judgements[answer].append(judgement)
                self._link(("responses", answer), ("judgements", judgement.id))
            for critique in critiques[judgement.first_id] if judgement.kind == "point" else ():
                self._link(("judgements", judgement.id), ("critiques", critique.id))
        for label in self._all("labels"):
            labels[label.item_id].append(label)
            self._link(("judgements", label.item_id), ("labels", label.id))
        for preference in self._all("preferences"):
            key, answers = ("preferences", preference.id), {preference.chosen_id, preference.rejected_id}
            for answer in answers:
                self._link(("responses", answer), key)
                for critique in critiques[answer]:
                    self._link(("critiques", critique.id), key)
                for judgement in judgements[answer]:
                    if {judgement.first_id, judgement.second_id} - {""} <= answers:
                        self._link(("judgements", judgement.id), key)
                        for label in labels[judgement.id]:
                            self._link(("labels", label.id), key)

    def _all(self, table: str) -> list[Any]:
        return [self.newest(key) for key in self.versions if key[0] == table]

    def _link(self, parent: Key, child: Key) -> None:
        if parent in self.versions:
            self._parents[child].add(parent)
            self._children[parent].add(child)

    def _revisions(self, critiques: list[Critique], responses: list[Response]) -> Iterator[tuple[Critique, Response]]:
        """Which critique led to which revision: of a round's, the n-th of a query to the n-th of this query."""
        waiting: dict[str, list[Critique]] = defaultdict(list)
        for critique in critiques:
            if (key := ("responses", critique.response_id)) in self.versions:
                waiting[self.newest(key).query_id].append(critique)
        for response in responses:
            if response.origin == "revision" and waiting[response.query_id]:
                yield waiting[response.query_id].pop(0), response
