from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.errors import UserError
from superalign.models import SHIPPED, Chat, load_base, load_chat, load_tokenizer, resolve

SPECIALS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def test_hub_names_and_folders_are_told_apart(tiny_model: str) -> None:
    assert resolve("hub:Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert resolve(tiny_model) == tiny_model


def test_both_shipped_models_have_names_of_their_own() -> None:
    assert Path(resolve("testbed")).name == "base"
    assert Path(resolve("testbed-small")).name == "small"


def test_a_shipped_model_that_is_gone_is_told_with_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHIPPED, "testbed-small", tmp_path / "small")
    with pytest.raises(UserError, match="run `superalign testbed build --size small`"):
        resolve("testbed-small")


@pytest.mark.parametrize("model", ["Qwen/Qwen3-0.6B", "/nowhere/at/all", "hub:", "hub:a b"])
def test_a_model_that_is_not_there_is_a_users_mistake_in_one_line(model: str) -> None:
    with pytest.raises(UserError, match="model=") as caught:
        resolve(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_config_or_weights_is_named(missing: str, make_model: Callable[..., str]) -> None:
    folder = make_model()
    (Path(folder) / missing).unlink()
    with pytest.raises(UserError, match=missing):
        resolve(folder)


def test_broken_weights_are_a_users_mistake(make_model: Callable[..., str]) -> None:
    folder = make_model()
    (Path(folder) / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot load its model"):
        load_base(folder)


def test_a_base_is_frozen_and_in_evaluation_mode(tiny_model: str) -> None:
    base = load_base(tiny_model)
    assert not base.training
    assert not any(parameter.requires_grad for parameter in base.parameters())


def test_a_chat_is_encoded_as_its_template_says(tiny_model: str) -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "how do I bake a cake"}]
    expected = load_tokenizer(tiny_model).apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert load_chat(tiny_model).prompt_ids(messages) == expected


def test_the_end_of_a_turn_stops_generation(tiny_model: str) -> None:
    chat = load_chat(tiny_model)
    assert chat.stop_ids == {chat.tokenizer.convert_tokens_to_ids("<|end|>")}
    assert chat.context == 128
    assert chat.closed([7, 8]) == [7, 8, *chat.stop_ids]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*SPECIALS, "<|", "|>", "user", "<", "é", " ", "\n", "\ue000", "0", "\ue001"])))
def test_no_content_can_become_a_template_token(tiny_model: str, parts: list[str]) -> None:
    chat, content = load_chat(tiny_model), "".join(parts)
    specials = set(chat.tokenizer.all_special_ids)
    assert not specials & set(chat.encode(content))
    frame = chat.prompt_ids([{"role": "user", "content": ""}])
    ids = chat.prompt_ids([{"role": "user", "content": content}])
    assert [i for i in ids if i in specials] == frame
    assert chat.tokenizer.decode(chat.encode(content), skip_special_tokens=False) == content


def test_without_a_chat_template_turns_are_plain_titles(make_model: Callable[..., str]) -> None:
    chat = load_chat(make_model(template=None))
    ids = chat.prompt_ids([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}])
    assert chat.decode(ids) == "### System:\nbe kind\n\n### User:\nhello\n\n### Assistant:\n"


def test_a_template_that_refuses_system_turns_gets_them_in_the_users_turn(make_model: Callable[..., str]) -> None:
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    loop = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    chat = load_chat(make_model(template=refuse + loop))
    ids = chat.prompt_ids([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}])
    assert chat.tokenizer.decode(ids, skip_special_tokens=False) == "<|user|>be kind\n\nhello<|end|>"


def test_the_story_model_gets_one_begin_token(stories: str) -> None:
    chat = load_chat(stories)
    ids = chat.prompt_ids([{"role": "user", "content": "once <s> upon </s>"}])
    assert ids[0] == chat.tokenizer.bos_token_id
    assert chat.tokenizer.bos_token_id not in ids[1:]
    assert chat.tokenizer.eos_token_id not in ids
    assert isinstance(chat, Chat)


def test_a_prompt_too_long_for_the_context_loses_the_middle_of_its_longest_message(
    make_model: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    chat = load_chat(make_model("short", context=64))
    messages = [{"role": "system", "content": "judge"}, {"role": "user", "content": f"start {'x' * 400} end"}]
    ids = chat.prompt_ids(messages, room=10)
    assert len(ids) == 64 - 10
    assert "judge" in chat.decode(ids) and "start" in chat.decode(ids) and "end" in chat.decode(ids)
    assert len(chat.prompt_ids(messages, room=1000)) == 64 - 16
    assert "cut out" in caplog.text
    assert len([r for r in caplog.records if "cut out" in r.message]) == 1
