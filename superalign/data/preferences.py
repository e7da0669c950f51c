"""Preference pairs to train a reward model on: a file, the hub, or the testbed's own."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from superalign.attacks.families import TRAINED, wrap
from superalign.config.schema import Config
from superalign.data.seeds import read_rows
from superalign.errors import UserError, nearest
from superalign.records import content_id, content_share

FIELDS: Final = ("prompt", "chosen", "rejected")
KINDS: Final = ("full", "refusal", "partial", "garbled")
FEWEST: Final = 8


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """`chosen` answers `prompt` better than `rejected`; pairs of one cluster are not independent."""

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


def load_pairs(config: Config) -> list[PreferencePair]:
    """The pairs that `data=` names; a prompt is held out by its hash, the testbed's by its combination.

    Raises:
        UserError: the source cannot be read, a row lacks a column, or pairs are too few to train, fit or score.
    """
    pairs = _testbed(config) if config.data.source == "testbed" else _file(config)
    for heldout, what in ((False, "to train on"), (True, "held out")):
        count = sum(pair.heldout == heldout for pair in pairs)
        if count < FEWEST:
            raise UserError(f"data={config.data.source}: {count} pairs {what}, at least {FEWEST} are needed")
    halves = {pair.fits for pair in pairs if pair.heldout}
    if len(halves) < 2:
        half = "score" if True in halves else "fit the temperature on"
        raise UserError(f"data={config.data.source}: no held-out prompt is left to {half}; give more prompts")
    return pairs


def _testbed(config: Config) -> list[PreferencePair]:
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
    return pairs


def _file(config: Config) -> list[PreferencePair]:
    data = config.data
    for field in data.columns:
        if field not in FIELDS:
            raise UserError(f"unknown key data.columns.{field}{nearest(field, FIELDS)} (fields: {', '.join(FIELDS)})")
    columns = [data.columns.get(field, field) for field in FIELDS]
    pairs: dict[str, PreferencePair] = {}
    for where, row in read_rows(data.source, data.hub_split, "data"):
        prompt, chosen, rejected = (_text(where, row, column) for column in columns)
        if chosen == rejected:
            continue
        cluster = content_id(prompt)
        heldout = content_share("heldout", prompt) < data.eval_share
        pairs[content_id(prompt, chosen, rejected)] = PreferencePair(prompt, chosen, rejected, cluster, heldout)
    return list(pairs.values())[: data.limit]


def _text(where: str, row: Mapping[str, Any], column: str) -> str:
    """A text, or the last message's of a list of messages."""
    if column not in row:
        raise UserError(f"{where}: no column {column!r}{nearest(column, row)}; name it by data.columns.FIELD={column}")
    value = row[column]
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content")
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {column} should be a text, or messages that end with one")
    return value
