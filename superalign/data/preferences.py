"""Preference pairs to train a reward model on: a file, a folder, the hub, or the testbed's own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from superalign.attacks.families import TRAINED, wrap
from superalign.config.schema import Config
from superalign.data.clusters import find_clusters
from superalign.data.columns import known_fields
from superalign.data.forms import Table
from superalign.data.pair_columns import FIELDS, PairColumns
from superalign.data.summary import DataSummary, cluster_notes, covered, table_notes
from superalign.data.tables import passed_over, read_tables
from superalign.errors import UserError
from superalign.records import content_id, content_share

__all__ = ["FIELDS", "PairSet", "PreferencePair", "load_pairs", "read_pairs"]

KINDS: Final = ("full", "refusal", "partial", "garbled")
FEWEST: Final = 8
SETTING: Final = "data.source"


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """`chosen` answers `prompt` better than `rejected`; pairs of one cluster are not independent.

    A prompt of several turns carries them as `superalign.prompts.multi_turn` does.
    """

    prompt: str
    chosen: str
    rejected: str
    cluster: str
    heldout: bool

    @property
    def texts(self) -> tuple[str, str, str]:
        """What a reward model is trained on."""
        return self.prompt, self.chosen, self.rejected

    @property
    def fits(self) -> bool:
        """Of the held-out ones, whether the temperature is fitted on it; else it is scored."""
        return int(content_id("fit", self.cluster), 16) % 2 == 1


@dataclass(frozen=True, slots=True)
class PairSet:
    """Preference pairs, and what there is to say of where they come from."""

    pairs: list[PreferencePair]
    summary: DataSummary


def load_pairs(config: Config) -> list[PreferencePair]:
    """The pairs of `read_pairs`."""
    return read_pairs(config).pairs


def read_pairs(config: Config) -> PairSet:
    """The pairs that `data=` names, and what was understood of them.

    Prompts that are near-duplicates (`find_clusters`) are one cluster, which is held out by its hash; the testbed's are
    held out by their combination. Equal pairs count once; pairs of equal answers and those with an empty text are left
    out and counted.

    Raises:
        UserError: the source cannot be read, a column is missing, or pairs are too few to train, fit or score.
    """
    found = _testbed(config) if config.data.source == "testbed" else _file(config)
    left = ", ".join(f"{count} {reason}" for reason, count in found.summary.left_out.items() if count)
    why = f" (of {found.summary.rows} rows are left out: {left})" if left else ""
    for heldout, what in ((False, "to train on"), (True, "held out")):
        count = sum(pair.heldout == heldout for pair in found.pairs)
        if count < FEWEST:
            raise UserError(f"data={config.data.source}: {count} pairs {what}, at least {FEWEST} are needed{why}")
    halves = {pair.fits for pair in found.pairs if pair.heldout}
    if len(halves) < 2:
        half = "score" if True in halves else "fit the temperature on"
        raise UserError(f"data={config.data.source}: no held-out prompt is left to {half}; give more prompts")
    return found


def _testbed(config: Config) -> PairSet:
    """Answers of two kinds to a request, ordered by the oracle; some labels of the training split are flipped."""
    from superalign.testbed import oracle
    from superalign.testbed.corpus import Corpus
    from superalign.testbed.world import seeds

    rng, corpus = random.Random(f"pairs/{config.seed}"), Corpus(config.seed)
    pairs = []
    for s in seeds(config.seed, n=config.reward.pairs, eval_share=config.data.eval_share):
        prompt = wrap(rng.choice(("plain", *TRAINED)), s.text, rng)
        request = oracle.parse(prompt)
        if request is None:
            continue
        first, second = (corpus.response(request, kind) for kind in rng.sample(KINDS, 2))
        better, worse = sorted((first, second), key=lambda text: -oracle.score(prompt, text))
        if oracle.score(prompt, better) == oracle.score(prompt, worse):
            continue
        if s.split == "train" and rng.random() < config.reward.flips:
            better, worse = worse, better
        pairs.append(PreferencePair(prompt, better, worse, s.id, s.split == "eval"))
    return PairSet(pairs, DataSummary(SETTING, config.data.source, "pairs", splits=_sizes(pairs)))


def _file(config: Config) -> PairSet:
    data = config.data
    known_fields(data.columns, FIELDS)
    tables = read_tables(data.source, data.hub_split, SETTING, data.encoding)
    found: dict[str, PreferencePair] = {}
    left_out, notes, layouts = Counter[str](), Counter[str](), dict[str, None]()
    places: dict[str, str] = {}
    for table in tables:
        for columns, where, row in _rows(config, table):
            layouts[columns.layout] = None
            pair = columns.pair(where, row, notes)
            if isinstance(pair, str):
                left_out[pair] += 1
                places.setdefault(pair, where)
                continue
            left_out["given before"] += content_id(*pair) in found
            found.setdefault(content_id(*pair), PreferencePair(*pair, cluster="", heldout=False))
    left_out["empty"] += sum(table.empty for table in tables)
    clusters = find_clusters(pair.prompt for pair in found.values())
    held = clusters.held_out(data.eval_share, lambda prompt: content_share("heldout", prompt))
    pairs = [
        replace(pair, cluster=content_id(clusters.of[pair.prompt]), heldout=held[pair.prompt])
        for pair in found.values()
    ]
    kept = pairs[: data.limit]
    summary = DataSummary(
        setting=SETTING,
        source=data.source,
        what="pairs",
        forms={table.name: table.form for table in tables},
        layouts=tuple(layouts),
        rows=sum(len(table.rows) + table.empty for table in tables),
        counts={"pairs": len(pairs), "different prompts": len(clusters.of)},
        left_out=dict(left_out),
        places=places,
        notes=(
            *(f"{what}: {count:,}" for what, count in notes.items() if count),
            *([f"data.limit={data.limit}: the first {len(kept):,} pairs are taken"] if len(kept) < len(pairs) else ()),
            *table_notes(tables, passed_over(data.source)),
            *cluster_notes(clusters, "prompts"),
        ),
        splits=_sizes(kept),
        first=covered(pair.prompt for pair in kept),
    )
    return PairSet(kept, summary)


def _rows(config: Config, table: Table) -> Iterator[tuple[PairColumns, str, Mapping[str, Any]]]:
    if table.rows:
        columns = PairColumns.of(config.data, table)
        yield from ((columns, where, row) for where, row in table.rows)


def _sizes(pairs: list[PreferencePair]) -> dict[str, int]:
    held = sum(pair.heldout for pair in pairs)
    return {"to train on": len(pairs) - held, "held out": held}
