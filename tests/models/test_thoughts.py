"""What of a completion is its answer."""

from __future__ import annotations

import pytest

from superalign.models import Chat
from superalign.models.thoughts import visible
from tests.models.templates_made import GPT_OSS, QWEN3, TEMPLATES
from tests.models.tokenizers_made import trained


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Sure.\n  1 < 2", "Sure.\n  1 < 2"),
        (" kept as it is ", " kept as it is "),
        ("<think>\nhm\n</think>\n\nSure.", "Sure."),
        ("the prompt opened it\n</think>\n\nSure.", "Sure."),
        ("<think>not finished", ""),
        ("Sure. <think>a</think>and<think>b</think> more", "Sure. and more"),
        ("[THINK]hm[/THINK]Sure.", "Sure."),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Sure.", "Sure."),
        ("<|channel|>analysis<|message|>not finished", ""),
    ],
)
def test_the_visible_answer_is_what_comes_outside_of_thoughts(said: str, answer: str) -> None:
    assert visible(said) == answer


def test_thoughts_are_cut_off_where_their_markers_are_special_tokens_that_decoding_drops() -> None:
    template = TEMPLATES["gpt_oss"]
    chat = Chat(trained("byte_level", template.specials, GPT_OSS))
    said = "<|channel|>analysis<|message|>no, yes<|end|><|start|>assistant<|channel|>final<|message|>the answer"
    ids = chat.tokenizer.encode(said, add_special_tokens=False)
    assert "no, yes" in chat.decode(ids)
    assert chat.answer(ids) == "the answer"
    assert chat.answer(ids[:4]) == ""


def test_thoughts_are_cut_off_where_their_markers_are_plain_words(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(trained("byte_level", TEMPLATES["qwen3"].specials, QWEN3))
    chat.tokenizer.name_or_path = "one that thinks"
    assert chat.answer(chat.tokenizer.encode("<think>\nhm\n</think>\n\nyes")) == "yes"
    assert {chat.answer(chat.tokenizer.encode("<think>\nhm")) for _ in range(3)} == {""}
    first, second = caplog.messages  # each once
    assert "thoughts are cut off before anything is judged" in first and "ended within its thought" in second


def test_an_ordinary_answer_is_what_its_tokens_decode_to() -> None:
    chat = Chat(trained("byte_level", TEMPLATES["qwen3"].specials, QWEN3))
    ids = chat.encode("  a <b>bold</b> thought \n")
    assert chat.answer(ids) == chat.decode(ids) == "  a <b>bold</b> thought \n"
