"""Models that load, and models that must not."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from superalign.config.compose import load
from superalign.errors import UserError
from superalign.models import allow, load_base, load_chat, load_config
from superalign.models.loading import UNBOUNDED, context_of
from superalign.models.permissions import CODE

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SEQ2SEQ = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}


def refused(load: Callable[[str], Any], model: str) -> str:
    with pytest.raises(UserError, match="model=") as caught:
        load(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(folder: str, **settings: Any) -> None:
    """Change the config of a saved model."""
    path = Path(folder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def change_weights(folder: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = Path(folder) / "model.safetensors"
    weights = load_file(path)
    edit(weights)
    save_file(weights, path, metadata={"format": "pt"})


def test_a_base_is_frozen_and_in_evaluation_mode(tiny_model: str) -> None:
    base = load_base(tiny_model)
    assert not base.training
    assert not any(parameter.requires_grad for parameter in base.parameters())


def test_broken_weights_are_a_users_mistake(make_model: Callable[..., str]) -> None:
    folder = make_model()
    (Path(folder) / "model.safetensors").write_bytes(b"not weights")
    assert "cannot load its model" in refused(load_base, folder)


def test_weights_of_no_format_under_the_name_of_torchs_are_one_line(make_model: Callable[..., str]) -> None:
    folder = Path(make_model())
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"something else")
    assert "cannot load its model" in refused(load_base, str(folder))


def test_a_language_model_without_its_head_is_refused(make_model: Callable[..., str]) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    assert "lm_head.weight missing from its weights" in refused(load_base, folder)


def test_any_other_weight_that_is_missing_is_named(make_model: Callable[..., str]) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    assert "model.layers.1.mlp.up_proj.weight missing from its weights" in refused(load_base, folder)


def test_a_weight_of_another_shape_is_named_with_both_shapes(make_model: Callable[..., str]) -> None:
    folder = make_model()
    change(folder, intermediate_size=48)
    told = refused(load_base, folder)
    assert re.search(r"weight model\.layers\.0\.mlp\.down_proj\.weight has the shape \(32, 64\).*\(32, 48\)", told)


def test_a_folder_without_a_tokenizer_is_told_so(make_model: Callable[..., str]) -> None:
    folder = make_model()
    for file in Path(folder).glob("tokenizer*"):
        file.unlink()
    assert "has no tokenizer (tokenizer.json)" in refused(load_chat, folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_file_that_is_no_json_is_one_line(file: str, make_model: Callable[..., str]) -> None:
    folder = make_model()
    (Path(folder) / file).write_text("{")
    assert "cannot load its" in refused(load_chat, folder)


def test_a_head_that_is_tied_to_the_embeddings_is_not_missing(make_model: Callable[..., str]) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    change(folder, tie_word_embeddings=True)
    base = load_base(folder)
    assert torch.equal(base.get_output_embeddings().weight, base.get_input_embeddings().weight)


def test_weights_that_nothing_uses_are_said_in_one_line(
    make_model: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights.update({"extra.a": torch.ones(1), "extra.b": torch.ones(1)}))
    load_base(folder)
    assert [line for line in caplog.messages if "not used" in line] == [
        f"model={folder}: 2 weights of its files are not used, the first is extra.a"
    ]


@pytest.mark.parametrize("tied", [False, True])
def test_a_sequence_classifier_is_no_causal_language_model(tied: bool, tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=64, tie_word_embeddings=tied, num_labels=2, **SMALL)
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    told = refused(load_base, str(tmp_path))
    assert "LlamaForSequenceClassification is no causal language model" in told and "lm_head missing" in told
    change(str(tmp_path), architectures=["LlamaForCausalLM"], tie_word_embeddings=False)
    assert "lm_head.weight missing" in refused(load_base, str(tmp_path))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: BartForConditionalGeneration(BartConfig(vocab_size=64, **SEQ2SEQ)), "an encoder and a decoder"),
        (lambda: BertForMaskedLM(BertConfig(vocab_size=64, **SMALL)), "no causal language model"),
        (lambda: BertLMHeadModel(BertConfig(vocab_size=64, **SMALL)), "reads texts in both directions"),
    ],
    ids=["encoder and decoder", "masked", "bidirectional"],
)
def test_other_kinds_of_models_are_refused_in_one_line(made: Callable[[], Any], told: str, tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    assert told in refused(load_base, str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_finite_numbers_are_named(value: float, make_model: Callable[..., str]) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights["model.layers.1.mlp.up_proj.weight"][3, 2].fill_(value))
    told = refused(load_base, folder)
    assert "the model produces NaN" in told and "model.layers.1.mlp.up_proj.weight" in told


def test_weights_whose_products_overflow_are_told_when_they_are_loaded(make_model: Callable[..., str]) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights["lm_head.weight"].mul_(1e38))
    assert "the model produces NaN" in refused(load_base, folder)


def test_a_tokenizer_of_another_model_is_refused(make_model: Callable[..., str]) -> None:
    folder = make_model()
    change(folder, vocab_size=200)
    assert "they are of different models" in refused(load_chat, folder)


def test_an_added_token_without_a_duty_may_lie_beyond_the_embeddings(make_model: Callable[..., str]) -> None:
    folder = make_model()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<|unused{i}|>" for i in range(320 - len(tokenizer) + 2)], special_tokens=True)
    tokenizer.save_pretrained(folder)
    ids = load_chat(folder).prompt_ids([{"role": "user", "content": "<|unused0|> <|unused9|>"}])
    assert max(ids) < 320


@pytest.mark.parametrize(
    ("settings", "limit", "expected"),
    [
        ({"max_position_embeddings": 64}, 1e30, 64),
        ({"max_seq_len": 96}, 1e30, 96),
        ({"seq_length": 48}, 4096, 48),
        ({"context_length": 32}, 4096, 32),
        ({}, 512, 512),
        ({}, 1e30, UNBOUNDED),
        ({"max_position_embeddings": None}, 256, 256),
    ],
)
def test_the_longest_text_is_found_whatever_the_config_calls_it(
    settings: dict[str, Any], limit: float, expected: int
) -> None:
    assert context_of("m", type("Made", (), settings)(), limit) == expected


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own-kind"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(make_model: Callable[..., str]) -> str:
    """A model with code of its own."""
    folder = Path(make_model("own"))
    (folder / "own.py").write_text(OWN_CODE)
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    change(str(folder), model_type="own-kind", auto_map=names, architectures=["OwnModel"])
    return str(folder)


@pytest.mark.parametrize("load_it", [load_base, load_chat, load_config])
def test_a_model_with_code_of_its_own_is_refused_without_a_question(
    own_code: str, load_it: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked in the middle of the program"))
    assert "models.trust_remote_code=true" in refused(load_it, own_code)


def test_a_model_with_code_of_its_own_is_loaded_where_settings_or_environment_trust_it(
    own_code: str, tiny_model: str
) -> None:
    code = "import sys; from superalign.models import load_base; print(type(load_base(sys.argv[1])).__name__)"
    run = [sys.executable, "-c", code, own_code]
    done = subprocess.run(run, env={**os.environ, CODE: "1"}, capture_output=True, text=True)
    assert done.stdout.strip() == "OwnModel", done.stderr
    try:
        assert load(["models.trust_remote_code=true"]).models.trust_remote_code
        base = load_base(own_code)
        assert type(base).__name__ == "OwnModel"
        ids = torch.tensor([[5, 6, 7]])
        assert torch.equal(base(ids).logits, load_base(tiny_model)(ids).logits)
        load([])
        assert "models.trust_remote_code=true" in refused(load_base, own_code)
    finally:
        allow(trust_remote_code=False, slow_bfloat16=False)


def test_the_setting_is_found_by_the_name_that_one_would_guess() -> None:
    with pytest.raises(UserError, match=r"models\.trust_remote_code"):
        load(["model.trust_remote_code=true"])


def test_without_a_chat_template_turns_are_plain_titles(make_model: Callable[..., str]) -> None:
    chat = load_chat(make_model(template=None))
    ids = chat.prompt_ids([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}])
    assert chat.decode(ids) == "### System:\nbe kind\n\n### User:\nhello\n\n### Assistant:\n"


def test_the_end_of_a_turn_stops_generation(tiny_model: str) -> None:
    chat = load_chat(tiny_model)
    assert chat.stop_ids == {chat.tokenizer.convert_tokens_to_ids("<|end|>")}
    assert chat.context == 128
    assert chat.closed([7, 8]) == [7, 8, *chat.stop_ids]


def test_the_story_model_gets_one_begin_token(stories: str) -> None:
    chat = load_chat(stories)
    ids = chat.prompt_ids([{"role": "user", "content": "once <s> upon </s>"}])
    assert ids[0] == chat.tokenizer.bos_token_id
    assert chat.tokenizer.bos_token_id not in ids[1:]
    assert chat.tokenizer.eos_token_id not in ids


def test_a_prompt_too_long_for_the_context_loses_the_middle_of_its_longest_message(
    make_model: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    chat = load_chat(make_model("short", context=64))
    messages = [{"role": "system", "content": "judge"}, {"role": "user", "content": f"start {'x' * 400} end"}]
    with caplog.at_level(logging.WARNING):
        ids = chat.prompt_ids(messages, room=10)
    assert len(ids) == 64 - 10
    assert "judge" in chat.decode(ids) and "start" in chat.decode(ids) and "end" in chat.decode(ids)
    assert len(chat.prompt_ids(messages, room=1000)) == 64 - 16
    assert len([r for r in caplog.records if "cut out" in r.message]) == 1
