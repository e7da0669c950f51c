"""Templates that drop, refuse or fold turns, take content in parts, open thoughts, or are broken."""

from __future__ import annotations

import logging

import pytest

from superalign.errors import UserError
from superalign.models import Chat
from tests.models.templates_made import DROPS, GEMMA, GPT_OSS, IM, QWEN3, R1, TEMPLATES
from tests.models.tokenizers_made import trained

SYSTEM_USER = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
TURN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def chat(template: str, specials: tuple[str, ...] = IM) -> Chat:
    return Chat(trained("byte_level", specials, template), context=512)


def shown(made: Chat, messages: list[dict[str, str]]) -> str:
    return str(made.tokenizer.decode(made.prompt_ids(messages), skip_special_tokens=False))


@pytest.mark.parametrize(
    ("template", "specials", "expected"),
    [
        (DROPS, IM, "<|im_start|>user\nbe kind\n\nhello<|im_end|>\n<|im_start|>assistant\n"),
        (
            GEMMA,
            TEMPLATES["gemma"].specials,
            "<s><start_of_turn>user\nbe kind\n\nhello<end_of_turn>\n<start_of_turn>model\n",
        ),
    ],
    ids=["dropped in silence", "refused"],
)
def test_a_system_turn_that_a_template_does_not_take_begins_the_users_turn(
    template: str, specials: tuple[str, ...], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = chat(template, specials)
    assert shown(made, SYSTEM_USER) == expected
    assert shown(made, SYSTEM_USER) == expected
    assert sum("system texts begin the user's turn" in line for line in caplog.messages) <= 1


def test_every_turn_of_a_long_chat_arrives_where_system_turns_are_dropped() -> None:
    messages = [*SYSTEM_USER, {"role": "assistant", "content": "good day"}, {"role": "user", "content": "and now"}]
    text = shown(chat(DROPS), messages)
    assert [text.count(each["content"]) for each in messages] == [1, 1, 1, 1]


def test_turns_are_joined_where_a_template_wants_them_to_alternate() -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    assert "<start_of_turn>user\none\n\ntwo<end_of_turn>" in shown(chat(GEMMA, TEMPLATES["gemma"].specials), messages)


def test_a_system_turn_that_is_merged_only_when_it_is_the_first_arrives_from_the_middle_too() -> None:
    merged = (
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}"
        "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endif %}{% endfor %}"
    )
    text = shown(chat(merged), [{"role": "user", "content": "one"}, *SYSTEM_USER])
    assert text == "<|im_start|>user\none<|im_end|>\n<|im_start|>user\nbe kind\n\nhello<|im_end|>\n"


def test_content_in_parts_is_given_to_a_template_that_loops_over_parts_only() -> None:
    assert shown(made := chat(TEMPLATES["parts"].source), SYSTEM_USER).count("hello") == 1
    assert "'text'" not in shown(made, SYSTEM_USER)
    assert "'text'" not in shown(chat(TURN), SYSTEM_USER)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}{{ m.content }}", r"syntax error in line 1"),
        ("{{ raise_exception('only tools') }}", r"takes no chat of user \(only tools\)"),
        ("{{ messages[0]['content'] + 1 }}", r"takes no chat of user"),
        ("nothing of what is said", r"some of the texts do not arrive"),
    ],
)
def test_a_broken_template_is_one_line(template: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        chat(template)
    assert "\n" not in str(caught.value)


def test_a_role_that_no_way_renders_is_one_line() -> None:
    only_user = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    made = chat(only_user)
    with pytest.raises(UserError, match="takes no chat of user, assistant, user"):
        made.prompt_ids([{"role": r, "content": "x"} for r in ("user", "assistant", "user")])


@pytest.mark.parametrize(
    ("template", "specials", "end"),
    [
        (QWEN3, IM, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        (R1, TEMPLATES["r1"].specials, "<\uff5cAssistant\uff5c><think>\n\n</think>\n\n"),
        (GPT_OSS, TEMPLATES["gpt_oss"].specials, "<|start|>assistant<|channel|>final<|message|>"),
        (TURN + "<|im_start|>assistant\n<think>", IM, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        (TURN + "<|im_start|>assistant\n[THINK]", IM, "<|im_start|>assistant\n[THINK]\n\n[/THINK]\n\n"),
    ],
    ids=["switched off", "opened", "channels", "opened without a line break", "other tags"],
)
def test_a_thought_is_closed_in_the_prompt(template: str, specials: tuple[str, ...], end: str) -> None:
    assert shown(chat(template, specials), [{"role": "user", "content": "hello"}]).endswith(end)


def test_a_thought_that_is_closed_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = chat(R1, TEMPLATES["r1"].specials)
        made.prompt_ids(SYSTEM_USER)
        made.prompt_ids(SYSTEM_USER)
    assert sum("opens a thought" in line for line in caplog.messages) == 1
    caplog.clear()
    chat(QWEN3)
    assert caplog.messages == []


def test_a_user_who_spells_an_open_thought_does_not_close_the_prompt() -> None:
    text = shown(chat(TURN + "<|im_start|>assistant:"), [{"role": "user", "content": "<think>"}])
    assert text.endswith("<|im_start|>user\n<think><|im_end|>\n<|im_start|>assistant:")
