"""Seed requests from the testbed, a file, a folder or the hub, with every mistake named by place."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from superalign.config.sections import DataConfig
from superalign.data.clusters import Clusters, find_clusters
from superalign.data.demo import located
from superalign.data.reading import SETTING, Reading
from superalign.data.summary import DataSummary, cluster_notes, covered, table_notes
from superalign.data.tables import passed_over, read_tables
from superalign.errors import UserError
from superalign.records import Seed, content_id, content_share

WHAT: Final = "requests"


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
    source = located(config.seeds, SETTING)
    tables = read_tables(source, config.hub_split, SETTING, config.encoding)
    reading = Reading.of(config, tables)
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
            *table_notes(tables, passed_over(source)),
            *cluster_notes(found, WHAT),
        ),
        splits=_sizes(seeds),
        first=covered(each.text for each in kept),
    )
    return SeedSet(seeds, summary)


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
