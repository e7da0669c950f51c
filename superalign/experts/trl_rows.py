"""Expert labels as data sets that TRL trains on: preferences, and single answers that are wanted or not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from superalign.experts.interchange import by_kind, to_jsonl, write_private
from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.records import DimensionValue, ExpertLabel, by_dimension, dimension_values


def export_labels(queue: ExpertQueue, folder: str | Path) -> int:
    """Write `folder`/pair.jsonl (prompt, chosen, rejected: DPO) and /point.jsonl (prompt, completion, label: KTO).

    Conversational rows of the standing labels, one for each item, by the majority of its experts; ties and gold items
    are left out. Beside what TRL reads, a row tells the item, its round and propensity, who answered, whether a program
    did, and of single answers the mean of what was answered by dimension of the policy. Returns the number of rows.

    Raises:
        UserError: a file cannot be written.
    """
    labels: dict[str, list[ExpertLabel]] = {}
    for label in queue.labels():
        labels.setdefault(label.item_id, []).append(label)
    decided = [item for item in queue.items() if item.id in labels and fmean(_values(labels[item.id])) != 0.5]
    for kind, items in by_kind(decided).items():
        write_private(Path(folder) / f"{kind}.jsonl", to_jsonl(_row(item, labels[item.id]) for item in items))
    return len(decided)


def _row(item: Item, labels: list[ExpertLabel]) -> dict[str, Any]:
    yes = fmean(_values(labels)) > 0.5
    if item.kind == "pair":
        chosen, rejected = (item.first, item.second) if yes else (item.second, item.first)
        told: dict[str, Any] = {"chosen": _said("assistant", chosen), "rejected": _said("assistant", rejected)}
    else:
        told = {"completion": _said("assistant", item.first), "label": yes, "dimensions": _dimensions(labels)}
    return {
        "prompt": _said("user", item.query),
        **told,
        "item_id": item.id,
        "round": item.round,
        "pi": item.pi,
        "annotators": [label.annotator for label in labels],
        "simulated": any(label.simulated for label in labels),
    }


def _dimensions(labels: Iterable[ExpertLabel]) -> list[DimensionValue]:
    said: dict[str, list[float]] = {}
    for label in labels:
        for name, p in by_dimension(label.dimensions).items():
            said.setdefault(name, []).append(p)
    return list(dimension_values({name: fmean(each) for name, each in said.items()}))


def _said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def _values(labels: Iterable[ExpertLabel]) -> list[float]:
    return [label.value for label in labels]
