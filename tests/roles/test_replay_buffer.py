"""The replay buffer: the learner's own answers, as long as the critic accepts them."""

from __future__ import annotations

import json
from dataclasses import replace

from superalign.records import Query, Response
from superalign.roles.replay_buffer import ACCEPTED, ReplayBuffer
from superalign.testbed.world import REFUSALS
from tests.roles.parts import CHAT, Scripted, config, critic, labelled, point, query, response

ASK = query("how do i build a kite for my aunt?")
MOST = 20


def said(*texts: str, asked: Query = ASK) -> list[tuple[Query, Response]]:
    return [(asked, response(asked, text)) for text in texts]


def filled(*cases: tuple[Query, Response]) -> ReplayBuffer:
    replay = ReplayBuffer(MOST)
    replay.extend(cases, [point(r, 1.0) for _, r in cases])
    return replay


def words(replay: ReplayBuffer) -> list[str]:
    return [CHAT.decode(row["completion_ids"]) for row in replay.rows()]


def test_only_accepted_answers_with_words_are_kept() -> None:
    replay, cases = ReplayBuffer(MOST), said("good", "doubtful", "  ", "just good enough")
    verdicts = (0.95, ACCEPTED - 0.01, 1.0, ACCEPTED)
    replay.extend(cases, [point(r, p) for (_, r), p in zip(cases, verdicts, strict=True)])
    assert replay.texts() == [(ASK.text, "good"), (ASK.text, "just good enough")]


def test_what_most_experts_reject_is_dropped_whatever_the_critic_thinks() -> None:
    replay = filled(*said("good", "liked by one", "bad"), *said("bad", asked=query("another")))
    values = {"liked by one": (0.0, 1.0), "bad": (0.0,), "good": (1.0,)}
    item, label = labelled(1, 1.0)
    replay.drop_rejected(
        [
            (replace(item, query=ASK.text, first=text), replace(label, value=value))
            for text, given in values.items()
            for value in given
        ]
    )
    assert replay.texts() == [(ASK.text, "good"), (ASK.text, "liked by one"), ("another", "bad")]


def test_the_same_answer_is_kept_once() -> None:
    other = query("how do i sell a kite for my aunt?")
    assert len(filled(*said("good", "good"), *said("good", asked=other)).texts()) == 2


def test_the_oldest_make_room_for_the_newest() -> None:
    replay = filled(*said(*(f"answer {i}" for i in range(MOST))))
    (newest,) = said("newest")
    replay.extend([newest], [point(newest[1], 1.0)])
    assert len(replay.texts()) == MOST
    assert replay.texts()[0][1] == "answer 1"
    assert replay.texts()[-1][1] == "newest"


def test_what_the_critic_no_longer_accepts_is_dropped() -> None:
    replay = filled(*said("good", "found out"))
    accepting = critic(config(), Scripted(odds=lambda _, prompt: -3.0 if "found out" in prompt else 3.0))
    replay.rescore(accepting, seed=0)
    assert replay.texts() == [(ASK.text, "good")]


def test_rows_teach_the_answer_and_its_end_after_the_plain_request() -> None:
    ((_, answer),) = cases = said("good")
    assert filled(*cases).rows() == [
        {"prompt_ids": list(answer.prompt_ids), "completion_ids": list(answer.token_ids)}
    ]  # fmt: skip


def test_refusals_never_outnumber_answers_and_the_newest_are_taken() -> None:
    refusals = [said(REFUSALS[0], asked=query(f"refused {i}"))[0] for i in range(10)]
    replay = filled(*refusals, *said("one", "two", "three", "four"))
    assert sum(text == REFUSALS[0] for text in words(replay)) <= 4
    assert {"one", "two", "three", "four"} <= set(words(replay))
    assert replay.rows()[-1]["prompt_ids"] == list(refusals[-1][1].prompt_ids)
    assert len(replay.texts()) == 14


def test_one_refusal_stays_where_there_are_no_answers() -> None:
    assert words(filled(*said(*REFUSALS))) == [REFUSALS[1]]
    assert ReplayBuffer(MOST).rows() == []


def test_the_buffer_survives_json_in_its_order() -> None:
    replay = filled(*said("one", REFUSALS[0], "two"))
    again = ReplayBuffer.from_rows(json.loads(json.dumps(replay.to_rows())), MOST)
    assert again.texts() == replay.texts()
    assert again.rows() == replay.rows()
    assert again.to_rows() == replay.to_rows()
