"""Held-out requests of a file of `evaluation.requests`: read as seeds are, but nothing of them is trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from superalign.config.schema import Config
from superalign.config.sections import DataConfig
from superalign.data.clusters import find_clusters
from superalign.data.reading import Reading
from superalign.data.tables import read_tables
from superalign.errors import UserError
from superalign.records import Seed, content_id


@dataclass(frozen=True, slots=True)
class HeldOutRequests:
    """The requests of one file.

    Attributes:
        name: of the set.
        requests: each once, by their text.
        cluster: by id of a request, the hash of what it has in common with others: the id that several share in the
            file, such as HarmBench's behaviours, or else its near-duplicates.
        left_out: how many rows were left out, by reason.
        layout: how the file was understood.
    """

    name: str
    requests: list[Seed]
    cluster: dict[str, str]
    left_out: dict[str, int]
    layout: str


def read_requests(config: Config, name: str) -> HeldOutRequests:
    """The requests of `evaluation.requests.NAME`; encoding, hub split and the words of kinds are those of `data`.

    Raises:
        UserError: as `read_seeds`, in the names of these settings; or there is no request.
    """
    e, setting = config.evaluation, f"evaluation.requests.{name}"
    source = e.requests[name]
    own = {"seeds": source, "kind": e.request_kinds.get(name), "columns": e.request_columns.get(name, {})}
    settings = DataConfig.model_validate(config.data.model_dump() | own | {"limit": None})
    tables = read_tables(source, settings.hub_split, setting, settings.encoding)
    try:
        reading = Reading.of(settings, tables, setting)
    except UserError as error:  # of readers that speak of the seeds
        told = str(error).replace("data.columns.", f"evaluation.request_columns.{name}.")
        raise UserError(told.replace("data.kind", f"evaluation.request_kinds.{name}")) from None
    found = reading.undisputed()
    left_out = {reason: count for reason, count in reading.left_out.items() if count}
    if not found:
        why = f" (left out: {', '.join(f'{count} {reason}' for reason, count in left_out.items())})" if left_out else ""
        raise UserError(f"{setting}={source} holds no request{why}")
    alike = find_clusters(each.text for each in found).of
    shared = Counter(each.id for each in reading.found.values())
    origin = {text: each.id for text, each in reading.found.items()}
    stands = {each.id: origin[each.text] if shared[origin[each.text]] > 1 else alike[each.text] for each in found}
    cluster = {name: content_id("cluster", common) for name, common in stands.items()}  # a text stands in no table
    return HeldOutRequests(name, found, cluster, left_out, "; ".join(reading.layouts))
