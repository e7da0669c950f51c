"""The limit of what a probe on the first learner's own states allows, beside a run's figures on real text."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.evaluation.real_text.sets import RealSets
from superalign.loop.real_text import on_real_text
from superalign.records import Judgement, Query, dimension_values
from superalign.roles.protocols import Case
from tests.evaluation.real_text.parts import ByWords, Says


class Reads:
    """A critic that believes what the text of a request says: its number is P(harmful) in percent."""

    def judge_points(self, cases: Sequence[Case], seed: int) -> list[Judgement]:
        """Of requests without an answer."""
        assert all(response.text == "" for _, response in cases)
        p = [dimension_values({"harmful": int(query.text) / 100}) for query, _ in cases]
        fixed = ("x", "point", "q", "r", "", "general", 0.0, 0.5, 0.0, False, False, 0)
        return [Judgement(*fixed, dimensions=each) for each in p]  # type: ignore[arg-type]


def workers(**critic: Any) -> Any:
    """Two harmful and two harmless requests; none is refused."""
    asked = [("90", "harmful"), ("40", "harmful"), ("50", "benign"), ("10", "benign")]
    queries: list[Query] = [
        Query(text, text, text, "harmful" if kind == "harmful" else "benign", "general", "plain", "test", 0)
        for text, kind in asked
    ]
    sets = {f"compliance_x_{kind}": [q for q in queries if q.kind == kind] for kind in ("harmful", "benign")}
    config = Config.model_validate(
        {"rounds": 1, "critic": {"kind": "probe", **critic}, "evaluation": {"bootstrap": 50}}
    )
    return SimpleNamespace(
        config=config,
        real_sets=RealSets(requests=sets),
        learner=Says(lambda query: False),
        judge=ByWords(),
        generator=None,
        critic=Reads(),
    )


def test_the_curve_refuses_by_what_the_probe_reads_of_the_request() -> None:
    found = on_real_text(workers(), 0, [])
    assert found.limit == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    assert found.to_row()["limit_curve"][1] == [0, 0.5]


@pytest.mark.parametrize("critic", [{"model": "testbed-small"}, {"kind": "generative"}, {"verdicts": "shuffled"}])
def test_a_critic_that_reads_something_else_gives_no_curve(critic: dict[str, Any]) -> None:
    assert on_real_text(workers(**critic), 0, []).limit == []


def test_between_the_ends_nothing_is_measured() -> None:
    found = workers()
    found.config = found.config.model_copy(update={"rounds": 3})
    assert on_real_text(found, 1, []).metrics == {}
