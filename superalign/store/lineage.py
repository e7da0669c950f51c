"""Where a training row came from: its query, answers, critiques, judgements and expert labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from superalign.errors import UserError
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Record, Response
from superalign.store.folder import RunFolder
from superalign.store.tables import read_records, table_path

TABLES: Final[dict[str, type[Record]]] = {
    "queries": Query,
    "responses": Response,
    "critiques": Critique,
    "judgements": Judgement,
    "labels": ExpertLabel,
    "preferences": Preference,
}
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Lineage:
    """Everything one preference rests on.

    Attributes:
        round: the round whose training used it.
    """

    round: int
    preference: Preference
    query: Query | None
    responses: tuple[Response, ...]
    critiques: tuple[Critique, ...]
    judgements: tuple[Judgement, ...]
    labels: tuple[ExpertLabel, ...]


def trace(run: RunFolder, preference_id: str) -> Lineage:
    """Follow a preference back to its sources, which may lie in its own round or in earlier ones.

    An expert label belongs to it when its item is one of the judgements (`label.item_id == judgement.id`).

    Raises:
        UserError: no committed round trained on such a preference.
    """
    newest_first = sorted(run.rounds(), reverse=True)
    for round in newest_first:
        for preference in _table(run, round, "preferences", Preference):
            if preference.id == preference_id:
                return _lineage(run, [number for number in newest_first if number <= round], preference)
    raise UserError(f"no preference {preference_id} in {run.folder}: take an id from rounds/*/preferences.parquet")


def _lineage(run: RunFolder, rounds: list[int], preference: Preference) -> Lineage:
    answers = {preference.chosen_id, preference.rejected_id}
    judgements = tuple(
        record
        for record in _unique(run, rounds, "judgements", Judgement)
        if record.query_id == preference.query_id and {record.first_id, record.second_id} - {""} <= answers
    )
    items = {record.id for record in judgements}
    queries = (record for record in _unique(run, rounds, "queries", Query) if record.id == preference.query_id)
    return Lineage(
        round=rounds[0],
        preference=preference,
        query=next(queries, None),
        responses=tuple(r for r in _unique(run, rounds, "responses", Response) if r.id in answers),
        critiques=tuple(r for r in _unique(run, rounds, "critiques", Critique) if r.response_id in answers),
        judgements=judgements,
        labels=tuple(r for r in _unique(run, rounds, "labels", ExpertLabel) if r.item_id in items),
    )


def _unique(run: RunFolder, rounds: list[int], name: str, kind: type[R]) -> Iterator[R]:
    """Records of several rounds; of two with the same id, the newer."""
    seen: set[str] = set()
    for round in rounds:
        for record in _table(run, round, name, kind):
            identity: str = record.id  # type: ignore[attr-defined]  # every record type has one
            if identity not in seen:
                seen.add(identity)
                yield record


def _table(run: RunFolder, round: int, name: str, kind: type[R]) -> list[R]:
    folder = run.round_path(round)
    return read_records(folder, name, kind) if table_path(folder, name).is_file() else []
