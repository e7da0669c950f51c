"""From any record to what it came from and what it led to."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Response
from superalign.store.folder import RunFolder
from superalign.store.lineage import Lineage, Records, lineage
from superalign.store.tables import write_records
from tests.store import parts as writer


def answer(name: str, query: str = "q", revision: bool = False) -> Response:
    return Response(name, query, name, (1,), (2,), (-0.5,), "revision" if revision else "sample", 0)


def pair(name: str, first: str, second: str, version: int = 0) -> Judgement:
    return Judgement(name, "pair", "q", first, second, "c", 1.0, 0.7, 0.0, False, False, version)


def point(name: str, response: str) -> Judgement:
    return Judgement(name, "point", "q", response, "", "c", 1.0, 0.2, 0.0, False, False, 0)


def label(name: str, item: str) -> ExpertLabel:
    return ExpertLabel(name, item, "pair", "x", 1.0, 0.5, "uniform", 1, True)


def preference(name: str, chosen: str, rejected: str) -> Preference:
    return Preference(name, "q", chosen, rejected, (), (), (), (1,), (2,), (2,), 0.9, 1.0, "expert")


def ids(records: Records) -> dict[str, list[str]]:
    """The ids by table; tables without records left out."""
    return {name: [r.id for r in getattr(records, name)] for name in Records.__slots__ if getattr(records, name)}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Round 0: q is answered by a and b; a is judged, criticised and revised to r. Round 1: labels come, p and o are
    learned from."""
    with writer.opened(tmp_path) as run:
        folder = run.begin_round(0)
        query = Query("q", "s", "t", "harmful", "c", "plain", "seed", 0)
        other = Query("other", "s", "t", "harmful", "c", "plain", "seed", 0)
        write_records(folder, "queries", Query, [query, other])
        answers = [answer("a"), answer("b"), answer("elsewhere", "other"), answer("r", revision=True)]
        write_records(folder, "responses", Response, answers)
        write_records(folder, "critiques", Critique, [Critique("c", "a", "bad", (), 0, 1)])
        write_records(folder, "judgements", Judgement, [point("on a", "a"), pair("j", "a", "b"), pair("k", "a", "r")])
        run.commit_round(0, {"metrics": {}})
        folder = run.begin_round(1)
        write_records(folder, "queries", Query, [query])
        write_records(folder, "judgements", Judgement, [pair("j", "a", "b", version=1)])
        write_records(folder, "labels", ExpertLabel, [label("l", "j"), label("m", "k")])
        write_records(folder, "preferences", Preference, [preference("p", "b", "a"), preference("o", "r", "a")])
        run.commit_round(1, {"metrics": {}})
        return run


def of(run: RunFolder, record_id: str) -> Lineage:
    return lineage(run, record_id)


def test_a_preference_leads_back_to_its_query_answers_verdicts_and_labels(run: RunFolder) -> None:
    found = of(run, "p")
    assert (found.table, found.rounds, found.record) == ("preferences", (1,), preference("p", "b", "a"))
    assert ids(found.came_from) == {
        "queries": ["q"],
        "responses": ["a", "b"],
        "critiques": ["c"],
        "judgements": ["on a", "j"],
        "labels": ["l"],
    }
    assert len(found.led_to) == 0


def test_what_is_preferred_to_what_it_revises_rests_on_the_critique(run: RunFolder) -> None:
    assert ids(of(run, "o").came_from) == {
        "queries": ["q"],
        "responses": ["a", "r"],
        "critiques": ["c"],
        "judgements": ["on a", "k"],
        "labels": ["m"],
    }


def test_a_query_leads_to_everything_that_was_made_of_it(run: RunFolder) -> None:
    found = of(run, "q")
    assert found.rounds == (0, 1)
    assert len(found.came_from) == 0
    assert ids(found.led_to) == {
        "responses": ["a", "b", "r"],
        "critiques": ["c"],
        "judgements": ["on a", "j", "k"],
        "labels": ["l", "m"],
        "preferences": ["p", "o"],
    }


@pytest.mark.parametrize(
    ("record", "before", "after"),
    [
        (
            "c",
            {"queries": ["q"], "responses": ["a"], "judgements": ["on a"]},
            {"responses": ["r"], "judgements": ["k"], "labels": ["m"], "preferences": ["p", "o"]},
        ),
        (
            "r",
            {"queries": ["q"], "responses": ["a"], "critiques": ["c"], "judgements": ["on a"]},
            {"judgements": ["k"], "labels": ["m"], "preferences": ["o"]},
        ),
        ("j", {"queries": ["q"], "responses": ["a", "b"]}, {"labels": ["l"], "preferences": ["p"]}),
        ("l", {"queries": ["q"], "responses": ["a", "b"], "judgements": ["j"]}, {"preferences": ["p"]}),
        ("elsewhere", {"queries": ["other"]}, {}),
    ],
)
def test_every_record_knows_what_it_came_from_and_what_it_led_to(
    record: str, before: dict[str, list[str]], after: dict[str, list[str]], run: RunFolder
) -> None:
    found = of(run, record)
    assert (ids(found.came_from), ids(found.led_to)) == (before, after)


def test_of_two_versions_of_a_record_the_newer_is_told(run: RunFolder) -> None:
    assert [(j.id, j.version) for j in of(run, "p").came_from.judgements if j.kind == "pair"] == [("j", 1)]


def test_what_came_later_is_nothing_that_a_record_came_from(run: RunFolder) -> None:
    with writer.opened(run.folder.parent) as again:
        folder = again.begin_round(2)
        write_records(folder, "labels", ExpertLabel, [label("late", "j")])
        again.commit_round(2, {"metrics": {}})
    assert [one.id for one in of(run, "p").came_from.labels] == ["l"]
    assert [one.id for one in of(run, "j").led_to.labels] == ["l", "late"]


def test_an_id_that_no_record_has_is_refused(run: RunFolder) -> None:
    with pytest.raises(UserError, match="no record nowhere"):
        lineage(run, "nowhere")
