"""The learner's own accepted answers, supervised beside each preference step so that it forgets nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from superalign.experts.items import Item
from superalign.prompts.refusal import is_refusal
from superalign.records import ExpertLabel, Judgement, Query, Response
from superalign.roles.critic.verdicts import VerdictModel

ACCEPTED = 0.6


class ReplayBuffer:
    """At most so many answers that the critic accepts, judged again whenever it has learned; no oracle is asked.

    Never more refusals than answers: refusing is the easier habit.
    """

    def __init__(self, most: int) -> None:
        """Start empty."""
        self.most = most
        self._cases: dict[tuple[str, str], tuple[Query, Response]] = {}

    def extend(self, cases: Sequence[tuple[Query, Response]], points: Sequence[Judgement]) -> None:
        """Add newly accepted answers; the oldest make room."""
        for (query, response), point in zip(cases, points, strict=True):
            if point.p >= ACCEPTED and response.text.strip():
                self._cases[query.text, response.text] = (query, response)
        self._cases = dict(list(self._cases.items())[-self.most :])

    def drop_rejected(self, answered: Sequence[tuple[Item, ExpertLabel]]) -> None:
        """Drop what most experts who were asked do not accept, whatever the critic thinks of it."""
        said: dict[tuple[str, str], float] = {}
        for item, label in answered:
            if item.kind == "point":
                said[item.query, item.first] = said.get((item.query, item.first), 0.0) + label.value - 0.5
        self._cases = {text: case for text, case in self._cases.items() if said.get(text, 0.0) >= 0}

    def rescore(self, critic: VerdictModel, seed: int) -> None:
        """Drop what the critic no longer accepts."""
        cases = list(self._cases.values())
        points = critic.judge_points(cases, seed) if cases else []
        self._cases = {
            (q.text, r.text): (q, r) for (q, r), point in zip(cases, points, strict=True) if point.p >= ACCEPTED
        }

    def texts(self) -> list[tuple[str, str]]:
        """The (query, response) texts, newest last."""
        return list(self._cases)

    def rows(self) -> list[dict[str, Any]]:
        """Training rows with prompt_ids and completion_ids: all answers, and as many of the newest refusals at most."""
        refusals = [r for _, r in self._cases.values() if is_refusal(r.text)]
        answers = [r for _, r in self._cases.values() if not is_refusal(r.text)]
        kept = [*answers, *refusals[-max(1, len(answers)) :]]
        return [{"prompt_ids": list(r.prompt_ids), "completion_ids": list(r.token_ids)} for r in kept]

    def to_rows(self) -> list[dict[str, Any]]:
        """JSON rows."""
        return [{"query": q.to_row(), "response": r.to_row()} for q, r in self._cases.values()]

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], most: int) -> Self:
        """Restore what `to_rows` wrote."""
        anchors = cls(most)
        for row in rows:
            query, response = Query.from_row(row["query"]), Response.from_row(row["response"])
            anchors._cases[query.text, response.text] = (query, response)
        return anchors
