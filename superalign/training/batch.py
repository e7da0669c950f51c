"""What the learner learns from: judged answers of its own, alone and in pairs, with noisy labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from superalign.prompts import library
from superalign.records import ExpertLabel, Judgement, Preference, Query, Response, content_id


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """An answer with P(acceptable) = `p`, fused from critic and experts, and the weight of that label (0: no label)."""

    response: Response
    p: float
    w: float


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """What one phase learns from: preferences for algorithms that compare, scored responses for the others."""

    preferences: Sequence[Preference] = ()
    responses: Sequence[ScoredResponse] = ()


def score_responses(
    cases: Sequence[tuple[Query, Response]],
    points: Sequence[Judgement],
    labels: Sequence[ExpertLabel],
    errors: Mapping[str, float],
) -> list[ScoredResponse]:
    """Blend critic and experts into noisy labels of single answers; where the evidence is weak p is 1/2."""
    from superalign.feedback.fusion import blend  # numpy, which settings do without

    out = []
    for (_, response), label in zip(cases, blend(points, labels, errors), strict=True):
        if label is None:
            out.append(ScoredResponse(response, 0.5, 0.0))
        else:
            out.append(ScoredResponse(response, label.q if label.chosen_first else 1 - label.q, label.w))
    return out


def preference(
    query: Query, chosen: Response, rejected: Response, q: float, w: float, source: Literal["critic", "expert"]
) -> Preference:
    """Of two answers to a query the better one before the other: P(it is better) = q, weight w."""
    return Preference(
        id=content_id(chosen.id, rejected.id),
        query_id=query.id,
        chosen_id=chosen.id,
        rejected_id=rejected.id,
        prompt=tuple(library.respond(query.text)),
        chosen=({"role": "assistant", "content": chosen.text},),
        rejected=({"role": "assistant", "content": rejected.text},),
        prompt_ids=chosen.prompt_ids,
        chosen_ids=chosen.token_ids,
        rejected_ids=rejected.token_ids,
        q=q,
        w=w,
        source=source,
    )


def fuse_preferences(
    pairs: Sequence[tuple[Query, Response, Response]],
    judged: Sequence[Judgement],
    labels: Sequence[ExpertLabel],
    errors: Mapping[str, float],
) -> list[Preference]:
    """Blend critic and experts into noisy preferences: P(chosen better) = q, weight w."""
    from superalign.feedback.fusion import blend

    out = []
    for (query, first, second), label in zip(pairs, blend(judged, labels, errors), strict=True):
        if label is None:
            continue
        chosen, rejected = (first, second) if label.chosen_first else (second, first)
        out.append(preference(query, chosen, rejected, label.q, label.w, label.source))
    return out


def balanced(preferences: Sequence[Preference], queries: Iterable[Query]) -> list[Preference]:
    """The preferences with weights that add up to the same on harmful and on harmless requests, and to the same in all.

    As they are where they are all on requests of one kind.

    Args:
        preferences: of a round.
        queries: at least those that they are on.
    """
    kinds = {query.id: query.kind for query in queries}
    sums: dict[str, float] = {}
    for each in preferences:
        kind = kinds[each.query_id]
        sums[kind] = sums.get(kind, 0.0) + each.w
    fair = sum(sums.values()) / max(len(sums), 1)
    return [replace(each, w=each.w * fair / sums[kinds[each.query_id]]) for each in preferences]
