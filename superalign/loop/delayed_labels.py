"""Labels that come after the round in which they were asked for: they teach on what was said and judged then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from superalign.experts.items import Item
from superalign.records import ExpertLabel, Judgement, Query, Response
from superalign.roles.critic.verdicts import ResponsePair
from superalign.roles.protocols import Case
from superalign.store.folder import RunFolder
from superalign.store.tables import read_records


@dataclass
class DelayedLabels:
    """Pairs and single answers of earlier rounds, each with the critic's judgement from before it knew the label."""

    pairs: list[ResponsePair] = field(default_factory=list)
    judged: list[Judgement] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    points: list[Judgement] = field(default_factory=list)


def delayed_labels(
    run: RunFolder, answered: Iterable[tuple[Item, ExpertLabel]], fresh: Iterable[ExpertLabel], number: int
) -> DelayedLabels:
    """What the fresh labels on items of rounds before `number` are about, from these rounds' tables.

    Raises:
        UserError: a table of an earlier round is missing or damaged.
    """
    new, found = {label.id for label in fresh}, DelayedLabels()
    items = {item.id: item for item, label in answered if label.id in new and item.round < number}
    for round in sorted({item.round for item in items.values()}):
        folder = run.round_path(round)
        queries = {q.id: q for q in read_records(folder, "queries", Query)}
        said = {r.id: r for r in read_records(folder, "responses", Response)}
        for j in read_records(folder, "judgements", Judgement):
            if j.id not in items:
                continue
            if j.kind == "pair":
                found.pairs.append((queries[j.query_id], said[j.first_id], said[j.second_id]))
                found.judged.append(j)
            else:
                found.cases.append((queries[j.query_id], said[j.first_id]))
                found.points.append(j)
    return found
