"""The critic's part of a round: which pairs are compared, what is criticised and revised, who sees what it learned."""

from __future__ import annotations

from dataclasses import replace

from superalign.loop.critic_phase import critique_and_revise, select_pairs, train_critic, worst_cases
from superalign.records import Judgement, Query, Response
from superalign.roles.expert import ExpertLabels
from tests.loop.parts import workers
from tests.roles.parts import RecordingTrainer, Scripted, config, labelled, point, query, response

ASK, OTHER = query("how do i build a kite for my aunt?"), query("how do i sell a guitar?")
ODDS = {"good": 3.0, "fair": 1.0, "poor": -1.0, "bad": -3.0, "mended": 2.0}


def judged(*answers: tuple[str, float], asked: Query = ASK) -> tuple[list[tuple[Query, Response]], list[Judgement]]:
    responses = [response(asked, text) for text, _ in answers]
    return [(asked, r) for r in responses], [point(r, p) for r, (_, p) in zip(responses, answers, strict=True)]


def test_pairs_set_the_best_against_the_worst() -> None:
    pairs = select_pairs(*judged(("a", 0.9), ("b", 0.1), ("c", 0.8), ("d", 0.3), ("e", 0.5)))
    assert [{first.text, second.text} for _, first, second in pairs] == [{"a", "b"}, {"c", "d"}]
    assert len(select_pairs(*judged(("a", 0.9), ("b", 0.1), ("c", 0.8), ("d", 0.3)), per_query=1)) == 1


def test_answers_that_look_alike_to_the_critic_or_are_the_same_give_no_pair() -> None:
    assert select_pairs(*judged(("a", 0.55), ("b", 0.5))) == []
    assert select_pairs(*judged(("a", 0.9), ("a", 0.1))) == []
    assert select_pairs(*judged(("a", 0.9))) == []


def test_pairs_stay_within_a_query() -> None:
    (cases, verdicts), (more, others) = judged(("a", 0.9), ("b", 0.1)), judged(("c", 0.9), ("d", 0.2), asked=OTHER)
    pairs = select_pairs([*cases, *more], [*verdicts, *others])
    assert all(q.id == first.query_id == second.query_id for q, first, second in pairs)
    assert {q.id for q, *_ in pairs} == {ASK.id, OTHER.id}


def test_the_place_in_a_pair_does_not_tell_which_is_better() -> None:
    firsts = [select_pairs(*judged((f"good {i}", 0.9), (f"bad {i}", 0.1)))[0][1].text[:4] for i in range(60)]
    assert 15 < firsts.count("good") < 45


def test_the_worst_answer_to_each_query_is_the_one_that_the_critic_likes_least() -> None:
    (cases, verdicts), (more, others) = judged(("a", 0.4), ("b", 0.2)), judged(("c", 0.9), asked=OTHER)
    worst = worst_cases([*cases, *more], [*verdicts, *others])
    assert [(q.id, r.text, j.p) for q, r, j in worst] == [(ASK.id, "b", 0.2), (OTHER.id, "c", 0.9)]


def scripted() -> Scripted:
    """A critic that knows good from bad by the word, and a learner that mends what is criticised."""

    def says(role: str, prompt: str) -> str:
        return '. "bad" it is.' if role == "critic" else "mended"

    return Scripted(says=says, odds=lambda role, prompt: next(x for w, x in ODDS.items() if f"Answer: {w}\n" in prompt))


def answers() -> list[Response]:
    return [response(ASK, "good"), response(ASK, "bad"), response(OTHER, "fair"), response(OTHER, "good")]


def test_the_worst_answer_to_each_query_is_criticised_and_revised_if_it_fails() -> None:
    feedback = critique_and_revise(workers(config(), scripted()), [ASK, OTHER], answers(), seed=0)
    assert [(q.id, r.text) for q, r in feedback.cases] == [
        (ASK.id, "good"), (ASK.id, "bad"), (OTHER.id, "fair"), (OTHER.id, "good"),
    ]  # fmt: skip
    assert [feedback.responses[c.response_id].text for c in feedback.critiques] == ["bad", "fair"]
    assert [c.text.split(".")[0] for c in feedback.critiques] == ["no", "yes"]
    assert feedback.critique_of().keys() == {c.response_id for c in feedback.critiques}
    ((asked, mended),) = feedback.revised
    assert (asked.id, mended.text, mended.origin) == (ASK.id, "mended", "revision")
    assert [j.first_id for j in feedback.every_point] == [r.id for _, r in feedback.everything]
    assert feedback.queries == {ASK.id: ASK, OTHER.id: OTHER}
    assert {first.text for _, first, _ in feedback.pairs} | {second.text for *_, second in feedback.pairs} == {
        "good", "bad", "fair",
    }  # fmt: skip


def test_where_nothing_is_to_be_revised_critiques_are_written_all_the_same() -> None:
    everybody = workers(config(learner={"revise": False}), scripted())
    feedback = critique_and_revise(everybody, [ASK, OTHER], answers(), seed=0)
    assert (len(feedback.critiques), feedback.revised, feedback.revised_points) == (2, [], [])


def test_a_critic_that_has_learned_is_served_and_accepted_answers_are_replayed_unless_experts_reject_them() -> None:
    trainer, served = RecordingTrainer(), dict[str, int]()

    class Serving(Scripted):
        def load_adapter(self, role: str, tensors: object, version: int) -> int:
            served[role] = version
            return version

    everybody = workers(config(critic={"calibration_share": 0.0}), Serving(odds=lambda *_: 1.0), trainer)
    cases, points = judged(("good", 0.9), ("disliked", 0.9), ("bad", 0.1))
    item, label = labelled(1, 0.0)
    said = ExpertLabels([(replace(item, query=ASK.text, first="disliked"), label)], [label], {"ann": 0.1})
    found = train_critic(everybody, cases, points, cases, said, seed=0)
    assert everybody.replay.texts() == [(ASK.text, "good")]
    assert served == {"critic": 1} == {"critic": trainer.version("critic")}
    assert (found["expert_rows"], found["calibration_points"]) == (3, 0)
    assert {w for _, w in trainer.told()} <= {"yes", "no", "first", "second"}
