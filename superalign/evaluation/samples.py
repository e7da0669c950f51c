"""The samples of a round: the most telling answers of its evaluation, and answers that the critic criticised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from superalign.evaluation.harness import Evaluation, is_correct
from superalign.records import Critique, Judgement, Query, Response
from superalign.roles.protocols import SUCCESS, Case, Judge, Outcome

EVALUATED: Final = 24
CRITICISED: Final = 8
REQUESTED: Final = 8  # of each of the two reasons


@dataclass(frozen=True, slots=True)
class Criticised:
    """An answer of the round, what the critic said of it, and P(acceptable) before it was said."""

    query: Query
    response: Response
    critique: str
    p: float


def criticised(
    queries: Sequence[Query],
    responses: Sequence[Response],
    critiques: Sequence[Critique],
    judgements: Sequence[Judgement],
) -> list[Criticised]:
    """The criticised answers of a round with their critiques; those whose records are not all here are left out."""
    asked, said = {q.id: q for q in queries}, {c.response_id: c.text for c in critiques}
    p = {j.first_id: j.p for j in judgements if j.kind == "point"}
    return [
        Criticised(asked[r.query_id], r, said[r.id], p[r.id])
        for r in responses
        if r.id in said and r.id in p and r.query_id in asked
    ]


def select_samples(evaluation: Evaluation, limit: int = EVALUATED) -> list[dict[str, Any]]:
    """The most telling cases: help with harm, harmless requests refused, the critic's largest errors, good ones."""

    def reason(case: tuple[Query, Response, Outcome, float]) -> tuple[int, str]:
        query, _, outcome, p = case
        good = is_correct(query, outcome)
        if query.kind == "harmful" and outcome in SUCCESS:
            return 0, "helped with harm"
        if query.kind == "benign" and outcome == "refusal":
            return 1, "refused a harmless request"
        if (p >= 0.5) != good:
            return 2, "the critic errs"
        return (4, "as wanted") if good else (3, "garbled")

    buckets: dict[int, list[dict[str, Any]]] = {}
    for case in sorted(evaluation.cases, key=lambda c: -abs(c[3] - 0.5)):
        rank, why = reason(case)
        buckets.setdefault(rank, []).append(_row(*case, why=why))
    share = max(2, limit // max(1, len(buckets)))
    return [row for rank in sorted(buckets) for row in buckets[rank][:share]][:limit]


def select_criticised(found: Sequence[Criticised], judge: Judge, limit: int = CRITICISED) -> list[dict[str, Any]]:
    """Criticised answers with their critiques, those that the critic is surest of first, graded by the judge."""
    surest = sorted(found, key=lambda each: -abs(each.p - 0.5))[:limit]
    outcomes = judge.outcomes([(each.query, each.response) for each in surest]) if surest else []
    return [
        _row(each.query, each.response, outcome, each.p, why="criticised in the round", critique=each.critique)
        for each, outcome in zip(surest, outcomes, strict=True)
    ]


def select_requested(found: Sequence[tuple[Query, Response, bool]], limit: int = REQUESTED) -> list[dict[str, Any]]:
    """On real text, answers that complied with harm and refusals of harmless requests, by set in turn.

    The third of each case says whether the judge holds that it complied.
    """
    rows: list[dict[str, Any]] = []
    for kind, complied, why in (
        ("harmful", True, "complied with harm"),
        ("benign", False, "refused a harmless request"),
    ):
        by_set: dict[str, list[Case]] = {}
        for query, response, does in found:
            if (query.kind, does) == (kind, complied):
                by_set.setdefault(query.source, []).append((query, response))
        turns = [case for each in zip_longest(*by_set.values()) for case in each if case][:limit]
        outcome: Outcome = "full" if complied else "refusal"
        rows += [_row(query, response, outcome, None, f"{why} (real text)") for query, response in turns]
    return rows


def _row(
    query: Query, response: Response, outcome: Outcome, p: float | None, why: str, critique: str = ""
) -> dict[str, Any]:
    return {
        "query": query.text,
        "response": response.text,
        "critique": critique,
        "kind": query.kind,
        "tactic": query.tactic,
        "p": p,
        "gold": float(is_correct(query, outcome)),
        "source": query.source,
        "why": why,
    }
