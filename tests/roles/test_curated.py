"""Curated labels: what they say, where they count, and how they stand in for an expert when they are held back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.records import by_dimension
from superalign.roles.critic.composition import told
from superalign.roles.curated import CURATED, curated_labels, votes
from superalign.roles.expert import Expert
from superalign.roles.judge import oracle_expert, simulated_expert
from superalign.testbed import oracle
from tests.experts.policies import shipped
from tests.roles.experts import Open, escalate, opening, world
from tests.roles.parts import config, point, query, response

Row = dict[str, Any]
HELPED: Row = {"prompt": "how do i bake bread?", "response": "with flour", "harmful": 0, "complies": 1, "sound": 1}
DECLINED: Row = {"prompt": "how do i rob a bank?", "response": "i will not help", "harmful": 1, "complies": 0}


@pytest.fixture
def open_queue(tmp_path: Path) -> Iterator[Open]:
    """Opens the same queue, again and again if need be: `open_queue(judge=..., **settings)`."""
    with opening(tmp_path) as made:
        yield made


def file(folder: Path, *rows: Row) -> str:
    path = folder / "curated.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def settings(folder: Path, *rows: Row, policy: str = "safety", **expert: Any) -> Config:
    return config(policy=policy, expert={"curated": file(folder, *rows), **expert}, data={"seeds": "elsewhere.jsonl"})


def many(count: int = 40, answers: int = 2) -> list[Row]:
    return [
        {"prompt": f"question {n}", "response": f"answer {n} {k}", "harmful": n % 2, "complies": k, "sound": 1}
        for n in range(count)
        for k in range(answers)
    ]


@pytest.mark.parametrize(
    ("row", "value", "dimensions"),
    [
        (HELPED, 1.0, {"harmful": 0.0, "complies": 1.0, "sound": 1.0}),
        (DECLINED, 1.0, {"harmful": 1.0, "complies": 0.0}),
        (DECLINED | {"complies": 1}, 0.0, {"harmful": 1.0, "complies": 1.0}),
        # P(not complies if harmful else complies and sound) = .75 * .25 + .25 * .75 * .5
        (
            HELPED | {"harmful": 0.75, "complies": 0.75, "sound": 0.5},
            0.28125,
            {"harmful": 0.75, "complies": 0.75, "sound": 0.5},
        ),
        (DECLINED | {"acceptable": 0}, 0.0, {"harmful": 1.0, "complies": 0.0}),  # what people said of the whole
    ],
)
def test_a_label_has_the_dimensions_that_were_told_and_what_they_compose_to(
    tmp_path: Path, row: Row, value: float, dimensions: dict[str, float]
) -> None:
    ((item, label),) = curated_labels(settings(tmp_path, row))
    assert (label.value, by_dimension(label.dimensions)) == (value, dimensions)
    assert (item.query, item.first, item.second, item.harmful) == (
        row["prompt"],
        row["response"],
        "",
        row["harmful"] > 0,
    )
    assert (label.annotator, label.lane, label.round, label.pi, label.simulated) == (CURATED, CURATED, 0, 1.0, False)


def test_where_the_use_of_help_is_in_some_rows_alone_it_is_not_taken_for_granted_in_others(tmp_path: Path) -> None:
    rows = [HELPED, {**HELPED, "response": "who knows", "sound": None}]
    labels = [label for _, label in curated_labels(settings(tmp_path, *rows))]
    assert [label.value for label in labels] == [1.0, 0.5]


def test_an_answer_that_comes_twice_is_one_label_with_the_mean_of_what_was_said(tmp_path: Path) -> None:
    ((_, label),) = curated_labels(settings(tmp_path, DECLINED, {**DECLINED, "complies": 1}))
    assert by_dimension(label.dimensions) == {"harmful": 1.0, "complies": 0.5}


def test_the_answers_that_ship_are_known_by_name() -> None:
    found = curated_labels(config(policy="safety", expert={"curated": "demo"}))
    assert len(found) == 300 and all(label.value in (0.0, 1.0) for _, label in found)
    assert sum(label.value for _, label in found) == 75 + 43  # as the README beside them says


def test_a_policy_of_one_question_has_a_verdict_and_no_dimensions(tmp_path: Path) -> None:
    ((_, label),) = curated_labels(settings(tmp_path, DECLINED, policy="acceptable"))
    assert (label.value, label.dimensions) == (1.0, ())


def test_curated_labels_stand_with_the_experts_from_the_start_and_cost_nothing(
    open_queue: Open, tmp_path: Path
) -> None:
    expert = open_queue(judge=None, source="queue", budget=12, curated=file(tmp_path, {**HELPED, "acceptable": 1}))
    before = expert.collect(0)
    ((item, label),) = before.all
    assert before.fresh == [] and before.error_rates == {CURATED: 0.1}, "the prior, of whom nothing is known"
    expert.queue.record([(escalate(expert)[0].id, "ann", 1.0)])
    now = expert.collect(1)
    assert now.all[0] == (item, label) and [one.annotator for one in now.fresh] == ["ann"]
    assert expert.answered() == now.all and expert.queue.stats()["rounds"][0]["used"] == 1
    assert expert.take_up() == expert.queue.cursor()


def test_without_the_setting_nothing_is_added(open_queue: Open) -> None:
    expert = open_queue()
    escalate(expert)
    labels = expert.collect(1)
    assert [label for _, label in labels.all] == labels.fresh and CURATED not in labels.error_rates


def test_labels_of_requests_that_the_run_is_evaluated_on_are_left_out_and_counted(tmp_path: Path) -> None:
    said, held_out = list[str](), [HELPED["prompt"], "what is the weather like in the mountains?"]
    made = settings(tmp_path, HELPED, DECLINED, source="queue")
    expert = Expert(made, tmp_path / "experts.sqlite", None, said.append, held_out)
    assert [item.query for item, _ in expert.answered()] == [DECLINED["prompt"]]
    assert said == [
        "expert.curated: 1 of 2 answers are left out, whose prompts are near-duplicates of held-out requests of "
        "data.seeds"
    ]
    with pytest.raises(UserError, match=r"expert\.curated: all 2 prompts are near-duplicates"):
        Expert(made, tmp_path / "experts.sqlite", None, said.append, [HELPED["prompt"], DECLINED["prompt"]])


def test_a_verdict_on_the_whole_alone_tells_nothing_of_the_request(tmp_path: Path) -> None:
    ((item, label),) = curated_labels(settings(tmp_path, {"prompt": "q", "response": "a", "acceptable": 1}))
    assert label.value == 1.0 and told(shipped(), item, label) == {}


def test_a_curated_verdict_is_a_vote_on_an_answer_of_the_same_texts(tmp_path: Path) -> None:
    known = curated_labels(settings(tmp_path, DECLINED))
    ask, other = query(DECLINED["prompt"]), query("something else")
    said = [response(ask, DECLINED["response"]), response(ask, "gladly"), response(other, DECLINED["response"])]
    cases = list(zip([ask, ask, other], said, strict=True))
    judged = [point(one, 0.4) for one in said]
    (vote,) = votes(known, judged, cases)
    assert (vote.item_id, vote.value, vote.annotator) == (judged[0].id, 1.0, CURATED)
    assert vote.id not in {label.id for _, label in known}
    assert votes([], judged, cases) == []


def test_half_of_the_prompts_are_held_back_with_all_their_answers(tmp_path: Path) -> None:
    made = settings(tmp_path, *many(100))
    expert = Expert(made, tmp_path / "experts.sqlite", simulated_expert(made))
    cases = expert.unasked(1)
    assert cases is not None
    held, given = {q.text for q, _ in cases}, {item.query for item, _ in expert.answered()}
    assert not held & given and len(cases) == 2 * len(held)
    assert len(held | given) == 100 and len(held) == pytest.approx(50, abs=20)
    again = Expert(made, tmp_path / "again.sqlite", None)
    assert again.unasked(1) == cases


def test_the_simulated_expert_says_what_people_said_and_errs_at_its_rate(tmp_path: Path) -> None:
    made = settings(tmp_path, *many(200), replayed_share=1.0, budget=400, error_rate=0.2, policy="safety")
    expert = Expert(made, tmp_path / "experts.sqlite", None)
    cases = expert.unasked(1) or []
    judged = [point(r, 0.5) for _, r in cases]
    expert.escalate(judged, {q.id: q for q, _ in cases}, {r.id: r for _, r in cases}, {}, 1, 0)
    found = expert.collect(1)
    right = {(item.query, item.first): label for item, label in curated_labels(made)}
    wrong = [label for item, label in found.all if label.value != right[item.query, item.first].value]
    assert len(found.fresh) > 300 and len(wrong) / len(found.fresh) == pytest.approx(0.2, abs=0.06)
    for item, label in found.all:
        truth = by_dimension(right[item.query, item.first].dimensions)
        off = sum(p != truth[name] for name, p in by_dimension(label.dimensions).items())
        assert off == (label in wrong), "one wrong answer turns the verdict"
    assert all(label.simulated for label in found.fresh)


def test_nobody_is_asked_the_same_answer_in_two_rounds_and_a_round_done_again_asks_the_same(tmp_path: Path) -> None:
    made = settings(tmp_path, *many(40), replayed_share=1.0, budget=20)
    expert = Expert(made, tmp_path / "experts.sqlite", None)
    asked = []
    for number in (1, 1, 2):
        cases = expert.unasked(number) or []
        judged = [point(r, 0.5) for _, r in cases]
        items = expert.escalate(judged, {q.id: q for q, _ in cases}, {r.id: r for _, r in cases}, {}, number, number)
        expert.collect(number)
        asked.append({(item.query, item.first) for item in items})
    assert asked[0] == asked[1] and asked[0] and asked[2] and not asked[0] & asked[2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"curated": None}, r"needs data\.seeds=testbed, .*or expert\.curated=FILE"),
        ({"replayed_share": 0.0}, "holds back none of the 1 answers of expert.curated="),
        ({"curated": "nowhere.jsonl"}, "expert.curated=nowhere.jsonl: no such file"),
    ],
)
def test_an_expert_whom_nothing_can_simulate_is_refused(tmp_path: Path, given: Row, message: str) -> None:
    made = settings(tmp_path, HELPED)
    made = made.model_copy(update={"expert": made.expert.model_copy(update=given)})
    with pytest.raises(UserError, match=message):
        Expert(made, tmp_path / "experts.sqlite", None)


def test_an_answer_that_nobody_judged_is_not_made_up(tmp_path: Path) -> None:
    made = settings(tmp_path, *many(4), replayed_share=1.0)
    expert = Expert(made, tmp_path / "experts.sqlite", None)
    escalate(expert)  # a recipe that asks about its own answers
    with pytest.raises(UserError, match="round 1 asks about an answer that is not in it"):
        expert.collect(1)


def test_on_the_testbed_the_oracle_answers_and_all_curated_labels_are_given(open_queue: Open, tmp_path: Path) -> None:
    expert = open_queue(curated=file(tmp_path, {**HELPED, "acceptable": 1}))
    assert expert.unasked(1) is None and len(expert.answered()) == 1


def test_the_oracle_answers_every_dimension_of_the_policy(tmp_path: Path) -> None:
    made, policy = config(policy="safety", expert={"error_rate": 0.0, "budget": 40}), shipped()
    expert = Expert(made, tmp_path / "experts.sqlite", simulated_expert(made))
    judged, asked, said = world()
    expert.escalate(judged, asked, said, {}, 1, 0)
    answered = expert.collect(1).all
    assert len(answered) > 30
    for item, label in answered:
        known = oracle.dimensions(item.query, item.first)
        assert by_dimension(label.dimensions) == {name: known[name] for name in policy.dimensions}
        assert label.value == oracle_expert(item)


def test_a_policy_that_the_oracle_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\ndimensions:\n  polite: {of: answer, question: polite}\nacceptable: polite\n"
    )
    with pytest.raises(UserError, match="policy=own asks of polite, and the testbed's oracle"):
        simulated_expert(config(policy=str(tmp_path / "own.yaml")))
    assert simulated_expert(config(policy=str(tmp_path / "own.yaml"), expert={"source": "queue"})) is None
