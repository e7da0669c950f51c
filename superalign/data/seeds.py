"""Seed requests from the testbed, a file, a folder or the hub, with every mistake named by place."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from superalign.config.sections import DataConfig
from superalign.data.clusters import Clusters, find_clusters
from superalign.data.columns import FIELDS, SeedColumns, known_fields
from superalign.data.forms import cell, is_empty
from superalign.data.labels import written
from superalign.data.summary import DataSummary, cluster_notes, covered, table_notes
from superalign.data.tables import passed_over, read_tables
from superalign.errors import UserError
from superalign.records import Kind, Seed, content_id, content_share

log = logging.getLogger(__name__)
TRUE: Final = frozenset({"1", "true", "yes"})
SETTING: Final = "data.seeds"
WHAT: Final = "requests"
NO_REQUEST: Final = "without a request"
OTHERWISE: Final = "rows whose column of kinds says otherwise than is taken for all"
BOTH_KINDS: Final = "requests given as harmful and as benign"


@dataclass(frozen=True, slots=True)
class SeedSet:
    """Seed requests, and what there is to say of where they come from."""

    seeds: list[Seed]
    summary: DataSummary


def load_seeds(config: DataConfig, seed: int) -> list[Seed]:
    """The seed requests of `read_seeds`."""
    return read_seeds(config, seed).seeds


def read_seeds(config: DataConfig, seed: int) -> SeedSet:
    """The seed requests that `config` names, split into train and eval, and what was understood of them.

    Near-duplicates (`find_clusters`) are on one side of the split: that which the hash of the text that stands for
    them tells, whatever ids, the run's seed and the order of rows are. Rows with the same text count once, as the
    first of them; a text given as harmful and as benign is left out, which is logged; an id of different texts is made
    unique by a hash of the text. `limit` draws that many requests by `seed`.

    Raises:
        UserError: the source cannot be read, a row is malformed, a column is missing, a value of the kind column is not
            understood, or there are fewer than two requests; the message names file and line.
    """
    if config.seeds == "testbed":
        from superalign.testbed import world

        seeds = world.seeds(seed, **({"n": config.limit} if config.limit else {}), eval_share=config.eval_share)
        return SeedSet(seeds, DataSummary(SETTING, config.seeds, WHAT, splits=_sizes(seeds)))
    known_fields(config.columns, FIELDS)
    tables = read_tables(config.seeds, config.hub_split, SETTING, config.encoding)
    reading = _Reading(config)
    for table in tables:
        if table.rows:
            columns = SeedColumns.of(config, table)
            reading.layouts[columns.layout] = None
            for where, row in table.rows:
                reading.take(columns, where, row)
            if columns.kind is None and columns.labels and (refusal := columns.labels.refusal()):
                raise UserError(f"{SETTING}={table.name}: {refusal}")
    reading.left_out["empty"] += sum(table.empty for table in tables)
    kept = reading.kept()
    found = find_clusters(seed.text for seed in kept)
    held = found.held_out(config.eval_share, _place)
    kept = [replace(each, split="eval" if held[each.text] else "train") for each in kept]
    seeds = kept
    if config.limit is not None and config.limit < len(seeds):
        seeds = random.Random(f"limit/{seed}").sample(seeds, config.limit)
        reading.notes.append(f"data.limit={config.limit}: that many of {len(kept):,} different requests are drawn")
    seeds = _both_splits(seeds, found)
    summary = DataSummary(
        setting=SETTING,
        source=config.seeds,
        what=WHAT,
        forms={table.name: table.form for table in tables},
        layouts=tuple(reading.layouts),
        rows=sum(len(table.rows) + table.empty for table in tables),
        counts={kind: count for kind in ("harmful", "benign") if (count := reading.kinds[kind])},
        left_out=dict(reading.left_out),
        places=reading.places,
        notes=(
            *reading.notes,
            *reading.told(),
            *table_notes(tables, passed_over(config.seeds)),
            *cluster_notes(found, WHAT),
        ),
        splits=_sizes(seeds),
        first=covered(each.text for each in kept),
    )
    return SeedSet(seeds, summary)


@dataclass
class _Reading:
    """Rows of all tables on their way to seeds."""

    config: DataConfig
    found: dict[str, Seed] = field(default_factory=dict)  # by text
    ids: dict[str, set[str]] = field(default_factory=dict)  # the texts of an id
    disputed: dict[str, str] = field(default_factory=dict)  # where the other kind of a text stands
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    layouts: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    labelled: bool = False

    def take(self, columns: SeedColumns, where: str, row: Mapping[str, Any]) -> None:
        """One row."""
        text = columns.request(where, row, self.changes)
        if not text:
            self.left_out[NO_REQUEST] += 1
            self.places.setdefault(NO_REQUEST, where)
            return
        kind: Kind | None = columns.kind
        meaning = columns.labels.meaning(cell(row, columns.kind_column or "")) if columns.labels else None
        if kind is not None:
            self.changes[OTHERWISE] += meaning not in (None, "skip", kind)
        else:
            self.labelled = True
            if meaning == "skip":
                self.left_out["by data.skip_values"] += 1
            if meaning is None or meaning == "skip":  # what is not understood is told when all rows were seen
                return
            kind = meaning
        assert kind is not None
        self.kinds[kind] += 1
        name = _id(cell(row, columns.id)) if columns.id else None
        lookalike = columns.lookalikes and kind == "benign"
        if columns.lookalike:
            lookalike = written(cell(row, columns.lookalike)).casefold() in TRUE
        category = cell(row, columns.category) if columns.category else None
        made = Seed(
            id=name or content_id(text),
            text=text,
            kind=kind,
            category=written(category) or "general",
            split="train",  # until all requests are known
            lookalike=lookalike,
        )
        if text in self.found:
            self.left_out["given before"] += 1
            if self.found[text].kind != kind:
                self.disputed.setdefault(text, where)
        else:
            self.found[text] = made
            self.ids.setdefault(made.id, set()).add(text)

    def kept(self) -> list[Seed]:
        """The requests, each once, without those of both kinds, with an id of its own.

        Raises:
            UserError: there are fewer than two, or none is harmful though a column tells the kind.
        """
        config = self.config
        if self.disputed:
            log.warning(
                "data.seeds=%s: %d of %d requests are left out, for they are given both as harmful and as benign "
                "(the first of them at %s)",
                *(config.seeds, len(self.disputed), len(self.found), next(iter(self.disputed.values()))),
            )
            self.left_out[BOTH_KINDS] = len(self.disputed)
            self.places[BOTH_KINDS] = next(iter(self.disputed.values()))
        kept = [each for text, each in self.found.items() if text not in self.disputed]
        if min(len(kept), config.limit or 2) < 2:
            held = f"holds {len(kept)} different requests" if len(kept) < 2 else "is cut to data.limit=1"
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items() if count)
            why = f" (left out: {reasons})" if reasons and len(kept) < 2 else ""
            raise UserError(
                f"data.seeds={config.seeds} {held}{why}: at least 2 are needed, to train and to evaluate on"
            )
        if self.labelled and not any(each.kind == "harmful" for each in kept):
            raise UserError(
                f"data.seeds={config.seeds}: no request is harmful by its column of kinds; set data.harmful_values to "
                "the values that mean harmful, or data.kind=benign"
            )
        return [self._with_own_id(each) for each in kept]

    def told(self) -> list[str]:
        """What was done to rows that were taken."""
        notes = [f"{what}: {count:,}" for what, count in self.changes.items() if count]
        if shared := sum(len(texts) > 1 for texts in self.ids.values()):
            notes.append(f"ids that several requests have, to which a hash of the request was added: {shared:,}")
        return notes

    def _with_own_id(self, each: Seed) -> Seed:
        if len(self.ids[each.id]) == 1:
            return each
        return replace(each, id=f"{each.id}-{content_id(each.text)[:8]}")


def _id(value: Any) -> str | None:
    """An id as text, numbers without a fraction that pandas added; None where there is none."""
    if is_empty(value) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _sizes(seeds: Sequence[Seed]) -> dict[str, int]:
    held = sum(each.split == "eval" for each in seeds)
    return {"to train on": len(seeds) - held, "held out": held}


def _place(text: str) -> float:
    """Where in [0, 1) the hash of a request lies."""
    return content_share("split", content_id(text))


def _both_splits(seeds: list[Seed], found: Clusters) -> list[Seed]:
    """Give a split that got nothing the cluster whose hash is nearest to it; of one cluster, one request."""
    if len({each.split for each in seeds}) == 2:
        return seeds
    all_train = seeds[0].split == "train"
    several = len({found.of[each.text] for each in seeds}) > 1
    stands = {each.text: found.of[each.text] if several else each.text for each in seeds}
    small = [text for text in stands.values() if text not in found.kept] or list(stands.values())
    moved = (min if all_train else max)(small, key=_place)
    other: Any = "eval" if all_train else "train"
    return [replace(each, split=other) if stands[each.text] == moved else each for each in seeds]


def check_seeds(config: DataConfig, seed: int) -> None:
    """Refuse seed requests of which none would be left for evaluation.

    Raises:
        UserError: none is left, or as `load_seeds`.
    """
    if not any(s.split == "eval" for s in load_seeds(config, seed)):
        raise UserError("data.seeds: no seed is left for evaluation; give more seeds or a larger data.eval_share")


def draw_seeds(seeds: Sequence[Seed], count: int, round: int, seed: int) -> list[Seed]:
    """A round's seeds: half harmful (an odd one too), half benign where both are at hand.

    Rounds walk through shuffled pools.
    """
    pools = [[s for s in seeds if s.kind == kind] for kind in ("harmful", "benign")]
    chosen: list[list[Seed]] = []
    for number, pool in enumerate(p for p in pools if p):
        random.Random(f"{seed}/{number}").shuffle(pool)
        want = count if not all(pools) else (count + 1 - number) // 2
        start = (round - 1) * want
        chosen.append([pool[(start + i) % len(pool)] for i in range(min(want, len(pool)))])
    longest = max(map(len, chosen), default=0)
    return [half[i] for i in range(longest) for half in chosen if i < len(half)]
