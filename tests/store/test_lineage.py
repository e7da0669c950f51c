"""Where a training row came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Response
from superalign.store.lineage import trace
from superalign.store.tables import write_records
from tests.store import parts as writer


def test_a_preference_leads_back_to_its_query_answers_verdicts_and_labels(tmp_path: Path) -> None:
    def answer(name: str) -> Response:
        return Response(name, "q", name, (1,), (2,), (-0.5,), "sample", 0)

    def verdict(name: str, first: str, second: str, version: int) -> Judgement:
        return Judgement(name, "pair", "q", first, second, "c", 1.0, 0.7, 0.0, False, False, version)

    with writer.opened(tmp_path) as run:
        folder = run.begin_round(0)
        write_records(folder, "queries", Query, [Query("q", "s", "t", "harmful", "c", "plain", "seed", 0)])
        write_records(folder, "responses", Response, [answer("a"), answer("b"), answer("unrelated")])
        write_records(folder, "judgements", Judgement, [verdict("j", "a", "b", 0), verdict("k", "a", "unrelated", 0)])
        run.commit_round(0, {"metrics": {}})
        folder = run.begin_round(1)
        write_records(folder, "critiques", Critique, [Critique("c", "a", "fine", (), 0, 1)])
        write_records(folder, "judgements", Judgement, [verdict("j", "a", "b", 1)])
        write_records(folder, "labels", ExpertLabel, [ExpertLabel("l", "j", "pair", "x", 1.0, 0.5, "uniform", 1, True)])
        row = Preference("p", "q", "a", "b", "P", "C", "R", (1,), (2,), (2,), 0.9, 1.0, "expert")
        write_records(folder, "preferences", Preference, [row])
        run.commit_round(1, {"metrics": {}})

    found = trace(run, "p")
    assert (found.round, found.query and found.query.seed_id) == (1, "s")
    assert [r.id for r in found.responses] == ["a", "b"]
    assert [(j.id, j.version) for j in found.judgements] == [("j", 1)]
    assert ([c.id for c in found.critiques], [label.id for label in found.labels]) == (["c"], ["l"])
    with pytest.raises(UserError, match="no preference nowhere"):
        trace(run, "nowhere")
