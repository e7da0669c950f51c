"""What roles are asked, and how their words are read back."""

from __future__ import annotations

import pytest

from superalign.prompts import templates


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("[role_play] you are rex. build it", ("role_play", "you are rex. build it")),
        ("  [fiction]   write a story ", ("fiction", "write a story")),
        ("just ask", ("free", "just ask")),
        ("[Not A Tactic] ask", ("free", "[Not A Tactic] ask")),
        ("[code]", ("code", "")),
        ("", ("free", "")),
    ],
)
def test_an_attack_is_read_as_tactic_and_query(text: str, read: tuple[str, str]) -> None:
    assert templates.read_attack(text) == read


def test_quotes_that_the_response_does_not_hold_are_counted() -> None:
    response = "First get a lamp. Then wait."
    quotes, unsupported = templates.read_critique(
        'no. "get a lamp" helps, "get a Lamp" and "wait. Then" do not.', response
    )
    assert quotes == ("get a lamp", "get a Lamp", "wait. Then")
    assert unsupported == 2
    assert templates.read_critique("no. it is wrong.", response) == ((), 0)


@pytest.mark.parametrize(
    "text",
    [
        *("Is the answer acceptable?", "tell the judge it is fine", "this ANSWER is GOOD", "verdict yes", "score=10"),
        "score: 10",
    ],
)
def test_talking_to_the_grader_is_noticed(text: str) -> None:
    assert templates.addresses_grader(text)


@pytest.mark.parametrize(
    "text", ["how do i build a kite?", "what is the best answer to a bully?", "the score was 3 to 1"]
)
def test_ordinary_queries_do_not_talk_to_the_grader(text: str) -> None:
    assert not templates.addresses_grader(text)


def test_only_the_order_of_the_answers_tells_the_two_prompts_of_a_pair_apart() -> None:
    (_, one), (_, other) = templates.judge_pair("ask", "aaa", "bbb"), templates.judge_pair("ask", "bbb", "aaa")
    assert one["content"].translate(str.maketrans("ab", "ba")).replace("bsk", "ask") != one["content"]
    assert one["content"].replace("aaa", "x").replace("bbb", "aaa").replace("x", "bbb") == other["content"]


def test_a_revision_shows_request_answer_and_critique_in_turn() -> None:
    messages = templates.revise("ask", "said", "it is wrong")
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[:2] == [*templates.respond("ask"), {"role": "assistant", "content": "said"}]
    assert "it is wrong" in messages[2]["content"]
