"""Curated labels: answers that people judged before the run, which count where the experts' labels do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Final

from superalign.config.schema import Config
from superalign.config.texts import policy_of
from superalign.data.clusters import KnownTexts
from superalign.data.demo import located
from superalign.data.judged_dimensions import JudgedDimensions, read_judged_dimensions
from superalign.errors import UserError
from superalign.experts.items import Item
from superalign.experts.simulated import Belief
from superalign.prompts.policy import Policy
from superalign.records import (
    ExpertLabel,
    Judgement,
    Query,
    Response,
    by_dimension,
    content_id,
    content_share,
    dimension_values,
)
from superalign.roles.protocols import Case

Labelled = tuple[Item, ExpertLabel]
CURATED: Final = "curated"
"""The lane of such items, and the annotator of their labels."""
SETTING: Final = "expert.curated"
HARMFUL: Final = "harmful"
CATEGORY: Final = "general"  # of seeds without one, too


def curated_labels(config: Config) -> list[Labelled]:
    """The labels of `expert.curated`, one for each different answer to a prompt; none without that setting.

    Of an answer that comes twice the mean of what was said counts. A label's `dimensions` are those that were told, its
    `value` is what they compose to; where some are missing, what the file says of the whole, or else what the others
    compose to with 1/2 in the place of these.

    Raises:
        UserError: the file cannot be read, or tells of no dimension of the policy.
    """
    if config.expert.curated is None:
        return []
    policy, rows = policy_of(config), dict[tuple[str, str], list[JudgedDimensions]]()
    for row in read_judged_dimensions(located(config.expert.curated, SETTING), SETTING, policy):
        rows.setdefault((row.prompt, row.answer), []).append(row)
    return [_labelled(alike, policy) for alike in rows.values()]


def apart(labelled: Sequence[Labelled], held_out: Sequence[str], say: Callable[[str], None]) -> list[Labelled]:
    """The labels without those whose prompt is a near-duplicate of a held-out request; says how many these are.

    Raises:
        UserError: none is left.
    """
    if not labelled or not held_out:
        return list(labelled)
    near = KnownTexts(held_out).near([item.query for item, _ in labelled])
    kept = [pair for pair, known in zip(labelled, near, strict=True) if not known]
    if not kept:
        raise UserError(
            f"{SETTING}: all {len(labelled)} prompts are near-duplicates of held-out requests of data.seeds"
        )
    if known := len(labelled) - len(kept):
        say(
            f"{SETTING}: {known} of {len(labelled)} answers are left out, whose prompts are near-duplicates of "
            "held-out requests of data.seeds"
        )
    return kept


def replays(config: Config) -> bool:
    """Whether the simulated expert of this run answers with curated labels that are held back from it."""
    expert = config.expert
    simulated = expert.source == "simulated" and expert.budget > 0
    return simulated and expert.curated is not None and config.data.seeds != "testbed"


def is_replayed(item: Item, share: float) -> bool:
    """Whether a curated label is held back for the simulated expert: all answers to one prompt are, or none."""
    return content_share("replayed", item.query) < share


def votes(answered: Iterable[Labelled], judged: Sequence[Judgement], cases: Sequence[Case]) -> list[ExpertLabel]:
    """The curated ones among labels once more, for each verdict on an answer of the very same texts."""
    known = {(item.query, item.first): label for item, label in answered if item.lane == CURATED}
    texts = {response.id: (query.text, response.text) for query, response in cases}
    found = []
    for j in judged if known else ():
        label = known.get(texts.get(j.first_id, ("", ""))) if j.kind == "point" else None
        if label is not None:
            name = content_id("curated vote", label.id, j.id)  # no label of the queue, nor of any round
            row = label.to_row() | {"id": name, "item_id": j.id}
            found.append(ExpertLabel.from_row(row))
    return found


class Replay:
    """The curated answers that are held back, as cases to judge and escalate, and as the expert who knows them."""

    def __init__(self, held: Sequence[Labelled]) -> None:
        self._labels = {(item.query, item.first): label for item, label in held}
        self._items = [item for item, _ in held]

    def unasked(self, asked: Iterable[Item], number: int) -> list[Case]:
        """The answers that are none of these items', as records of a round."""
        known = {(item.query, item.first) for item in asked}
        return [_case(item, number) for item in self._items if (item.query, item.first) not in known]

    def __call__(self, item: Item) -> Belief:
        """What people said of an answer.

        Raises:
            UserError: it is none of those that are held back.
        """
        label = self._labels.get((item.query, item.first))
        if label is None:
            raise UserError(
                f"expert.source=simulated replays {SETTING}, and round {item.round} asks about an answer that is not "
                "in it: a recipe escalates by superalign.loop.experts_phase"
            )
        return Belief(label.value, by_dimension(label.dimensions))


def _labelled(alike: Sequence[JudgedDimensions], policy: Policy) -> Labelled:
    first = alike[0]
    told = [name for name in policy.dimensions if any(name in row.p for row in alike)]
    p = {name: fmean(row.p[name] for row in alike if name in row.p) for name in told}
    whole = [row.acceptable for row in alike if row.acceptable is not None]
    harmful, name = p.get(HARMFUL, 0.0) >= 0.5, content_id(CURATED, first.prompt, first.answer)
    item = Item(
        id=name,
        round=0,
        kind="point",
        query_id=content_id(CURATED, first.prompt),
        first_id=content_id("curated answer", first.prompt, first.answer),
        second_id="",
        query=first.prompt,
        first=first.answer,
        second="",
        critique="",
        category=first.category or CATEGORY,
        pi=1.0,
        lane=CURATED,
        double=False,
        harmful=harmful,
    )
    label = ExpertLabel(
        id=name,
        item_id=name,
        kind="point",
        annotator=CURATED,
        value=_value(policy, p, fmean(whole) if whole else None),
        pi=1.0,
        lane=CURATED,
        round=0,
        simulated=False,
        dimensions=() if policy.single else dimension_values(p),
    )
    return item, label


def _value(policy: Policy, p: Mapping[str, float], whole: float | None) -> float:
    if whole is not None and any(name not in p for name in policy.dimensions):
        return whole
    return policy.compose({name: p.get(name, 0.5) for name in policy.dimensions})


def _case(item: Item, number: int) -> Case:
    query = Query(
        id=item.query_id,
        seed_id=item.query_id,
        text=item.query,
        kind="harmful" if item.harmful else "benign",
        category=item.category,
        tactic="plain",
        source=CURATED,
        round=number,
    )
    return query, Response(item.first_id, item.query_id, item.first, (), (), (), "sample", 0)
