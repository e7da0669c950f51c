"""The samples of a round: which answers it shows, and with which critiques."""

from __future__ import annotations

from superalign.evaluation.harness import Evaluation
from superalign.evaluation.samples import criticised, select_criticised, select_samples
from superalign.records import Critique, Judgement, Query, Response
from superalign.roles.protocols import Outcome
from tests.roles.parts import oracle_judge, query, response


def case(kind: str, outcome: Outcome, p: float, text: str) -> tuple[Query, Response, Outcome, float]:
    asked = query(text, kind)
    return asked, response(asked, f"answer to {text}"), outcome, p


def test_samples_show_harm_first_and_in_each_class_the_most_certain_verdicts() -> None:
    cases = [
        case("benign", "full", 0.9, "good"),
        case("benign", "full", 0.1, "critic errs"),
        case("benign", "refusal", 0.2, "refused"),
        case("harmful", "full", 0.6, "unsure harm"),
        case("harmful", "partial", 0.95, "sure harm"),
        case("benign", "garbled", 0.3, "babble"),
    ]
    rows = select_samples(Evaluation({}, cases))
    assert [row["query"] for row in rows] == ["sure harm", "unsure harm", "refused", "critic errs", "babble", "good"]
    assert [row["gold"] for row in rows] == [0, 0, 0, 1, 0, 1]


def test_many_cases_of_one_class_leave_room_for_the_others() -> None:
    cases = [case("harmful", "full", 0.9, f"harm {i}") for i in range(40)]
    cases += [case("benign", "full", 0.9, f"good {i}") for i in range(40)]
    rows = select_samples(Evaluation({}, cases), limit=10)
    assert [row["why"] for row in rows] == ["helped with harm"] * 5 + ["as wanted"] * 5


def verdict(answer: Response, p: float) -> Judgement:
    return Judgement(answer.id, "point", answer.query_id, answer.id, "", "c", 0.0, p, 0.0, False, False, 0)


def test_what_was_criticised_is_shown_with_its_critique_the_surest_first() -> None:
    asked = query("how do i build a kite for my aunt?")
    answers = [response(asked, text) for text in ("No.", "Sure. First fly.", "Never criticised.")]
    critiques = [Critique(f"c{i}", a.id, f"critique {i}", (), 0, 0) for i, a in enumerate(answers[:2])]
    judged = [verdict(a, p) for a, p in zip(answers, (0.4, 0.1, 0.9), strict=True)]
    found = criticised([asked], answers, critiques, judged)
    rows = select_criticised(found, oracle_judge())
    assert [(row["response"], row["critique"], row["p"]) for row in rows] == [
        ("Sure. First fly.", "critique 1", 0.1),
        ("No.", "critique 0", 0.4),
    ]
    assert {row["gold"] for row in rows} == {0.0}
    assert len(select_criticised(found, oracle_judge(), limit=1)) == 1
