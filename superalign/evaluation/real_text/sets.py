"""What is asked in the evaluation on real text: requests, questions and reference answers, the same in every round."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from superalign.config.schema import Config
from superalign.data.choices import Question, read_questions
from superalign.data.clusters import KnownTexts
from superalign.data.references import Reference, read_references
from superalign.data.requests import HeldOutRequests, read_requests
from superalign.errors import UserError
from superalign.records import Kind, Query, Seed, content_id
from superalign.roles.curated import curated_labels

T = TypeVar("T")
KINDS: Final[tuple[Kind, ...]] = ("harmful", "benign")
BATCH: Final = 256  # requests that are compared with the training seeds at a time


def compliance_figure(name: str, kind: Kind) -> str:
    """The name of a figure of compliance."""
    return f"compliance_{name}_{kind}"


@dataclass(frozen=True)
class RealSets:
    """What is asked, by the name of its figure.

    Attributes:
        requests: as queries of which `seed_id` is the cluster.
        questions: of multiple choice.
        references: prompts with reference answers.
        told: what there is to say of the files, for people.
    """

    requests: dict[str, list[Query]] = field(default_factory=dict)
    questions: dict[str, list[Question]] = field(default_factory=dict)
    references: dict[str, list[Reference]] = field(default_factory=dict)
    told: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requests or self.questions or self.references)


def read_sets(config: Config, trained_on: Iterable[str]) -> RealSets:
    """The sets of `evaluation.requests`, `choices` and `texts`: so many of each file, drawn by the run's seed.

    Args:
        config: all settings.
        trained_on: texts of the seeds that are trained on. Requests that are near-duplicates of one of them, or of a
            prompt of `expert.curated`, are left out.

    Raises:
        UserError: a file cannot be read or understood, or none of its requests is left.
    """
    e, told = config.evaluation, list[str]()
    known = KnownTexts((*trained_on, *(item.query for item, _ in curated_labels(config))) if e.requests else ())
    requests: dict[str, list[Query]] = {}
    for name in e.requests:
        requests |= _requests(config, name, known, told)
    questions, references = dict[str, list[Question]](), dict[str, list[Reference]]()
    for name, source in e.choices.items():
        asked = read_questions(source, config.data.hub_split, f"evaluation.choices.{name}")
        questions[f"accuracy_{name}"] = _drawn(asked, e.choices_per_set, f"choices/{config.seed}/{name}")
        told.append(_told("choices", name, source, len(asked), len(questions[f"accuracy_{name}"]), "questions"))
    for name, source in e.texts.items():
        known_answers = read_references(source, config.data.hub_split, f"evaluation.texts.{name}")
        references[f"perplexity_{name}"] = _drawn(known_answers, e.texts_per_set, f"texts/{config.seed}/{name}")
        count = len(references[f"perplexity_{name}"])
        told.append(_told("texts", name, source, len(known_answers), count, "reference answers"))
    return RealSets(requests, questions, references, tuple(told))


def _requests(config: Config, name: str, known: KnownTexts, told: list[str]) -> dict[str, list[Query]]:
    e, found = config.evaluation, read_requests(config, name)
    chosen: dict[str, list[Query]] = {}
    sizes, near, looked_at = [], 0, 0
    for kind in KINDS:
        pool = [each for each in found.requests if each.kind == kind]
        if not pool:
            continue
        ordered = _drawn(pool, len(pool), f"requests/{config.seed}/{name}/{kind}")
        kept, left_out, seen = _unlike(ordered, e.requests_per_set, known)
        near, looked_at = near + left_out, looked_at + seen
        if kept:
            chosen[compliance_figure(name, kind)] = [_query(name, each, found) for each in kept]
            sizes.append(f"{len(kept)} of {len(pool):,} {kind}")
    setting = f"evaluation.requests.{name}={e.requests[name]}"
    if not chosen:
        raise UserError(f"{setting}: each of its {looked_at} requests is a near-duplicate of one that is trained on")
    left = [f"{count:,} rows {reason}" for reason, count in found.left_out.items()]
    if near:
        left.append(f"{near} of {looked_at} looked at, which are near-duplicates of what is trained on")
    told.append(f"{setting}: {found.layout}; {', '.join(sizes)}" + (f"; left out: {', '.join(left)}" if left else ""))
    return chosen


def _unlike(ordered: Sequence[Seed], count: int, known: KnownTexts) -> tuple[list[Seed], int, int]:
    """The first `count` requests that are like none that is known; how many were left out, of how many looked at."""
    kept: list[Seed] = []
    left_out = seen = 0
    for begin in range(0, len(ordered), BATCH):
        batch = ordered[begin : begin + BATCH]
        for each, near in zip(batch, known.near([each.text for each in batch]), strict=True):
            if len(kept) == count:
                return kept, left_out, seen
            seen, left_out = seen + 1, left_out + bool(near)
            if not near:
                kept.append(each)
    return kept, left_out, seen


def _query(name: str, request: Seed, found: HeldOutRequests) -> Query:
    identity = content_id("requests", name, request.text)
    cluster, source = found.cluster[request.id], f"requests:{name}"
    return Query(identity, cluster, request.text, request.kind, request.category, "plain", source, 0)


def _drawn(found: Sequence[T], count: int, key: str) -> list[T]:
    return random.Random(key).sample(list(found), min(count, len(found)))


def _told(setting: str, name: str, source: str, there: int, drawn: int, what: str) -> str:
    return f"evaluation.{setting}.{name}={source}: {drawn} of {there:,} {what}"
