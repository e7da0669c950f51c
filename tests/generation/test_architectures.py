"""Decoding, scoring and sizes of small models of about thirty architectures, against a forward without padding."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.base import Generation, GenerationRequest
from superalign.generation.decoding import DecodingRequest, decode
from superalign.generation.hf import HFGenerator
from superalign.models import load_base, load_chat, openings
from superalign.models.caches import cache_bytes, has_cache
from superalign.models.hidden_states import pooled
from superalign.models.openings import Opening
from superalign.planning.footprint import size_of
from superalign.training.algorithms.sft import REFERENCE
from superalign.training.base import Phase
from superalign.training.service import TrainingService
from tests.models.templates_made import CHATML, IM
from tests.models.tokenizers_made import trained

WIDE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LONG = {"max_position_embeddings": 128}
SHARED = WIDE | LONG | {"num_key_value_heads": 2}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
SLIDING = {"sliding_window": 8}
STATE = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": SHARED,
    "qwen2": SHARED,
    "qwen3": SHARED | {"head_dim": 8},
    "gemma": SHARED | {"head_dim": 8},
    "gemma2": SHARED | {"head_dim": 8} | SLIDING,
    "gemma3_text": SHARED | {"head_dim": 8} | SLIDING,
    "phi": WIDE | LONG,
    "phi3": SHARED | {"original_max_position_embeddings": 128},
    "gpt2": GPT,
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "gptj": GPT | {"rotary_dim": 4},
    "gpt_neox": WIDE | LONG,
    "gpt_bigcode": GPT,
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, **LONG}
    | {"word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": WIDE,
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128},
    "mistral": SHARED | SLIDING,
    "mixtral": SHARED | {"num_local_experts": 4},
    "olmo2": SHARED,
    "granite": SHARED,
    "stablelm": SHARED,
    "starcoder2": SHARED,
    "cohere": SHARED,
    "gpt_oss": SHARED | {"head_dim": 8, "num_local_experts": 4} | SLIDING,
    "mamba": STATE,
    "falcon_mamba": STATE,
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 128},
    "jamba": SHARED | {"mamba_d_state": 8, "mamba_dt_rank": 4, "num_experts": 2},
    "lfm2": SHARED | {"full_attn_idxs": [1]},
}
WITHOUT_CACHE = {"mamba", "falcon_mamba", "rwkv", "jamba", "lfm2"}
UNBOUNDED = {"bloom", "mamba", "falcon_mamba"}
"""Those whose config names no longest text."""
LORA = LoraConfig()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The name of an architecture, and a folder with a random model of it."""
    folder, tokenizer = tmp_path_factory.mktemp(request.param), trained("split_digits", IM, CHATML)
    tokenizer.model_max_length = int(1e30)
    torch.manual_seed(0)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = CONFIG_MAPPING[request.param](vocab_size=len(tokenizer), **ids, **ARCHITECTURES[request.param])
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.15)  # far enough from uniform that differences would show
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return request.param, str(folder)


def forced(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> list[float]:
    """Log-probabilities of a completion by one forward of the text alone, without padding."""
    with torch.no_grad():
        logps = model(torch.tensor([[*prompt, *completion]]), use_cache=False).logits[0].float().log_softmax(-1)
    return [logps[len(prompt) - 1 + place, token].item() for place, token in enumerate(completion)]


def test_decoding_and_scoring_equal_a_plain_forward(saved: tuple[str, str]) -> None:
    _, folder = saved
    generator, chat = HFGenerator({"learner": folder}, LORA, GeneratorConfig(), threads=1), load_chat(folder)
    contents = ["x", "how do I bake a cake?", "a  b\n    c" * 3, "how do I bake a cake?"]
    asked = [tuple(chat.prompt_ids([{"role": "user", "content": content}])) for content in contents]
    requests = [GenerationRequest("learner", ids, 12, float(place % 2)) for place, ids in enumerate(asked)]
    said: list[Generation] = generator.generate(requests, seed=0)
    completions = [one.token_ids for one in said]
    scored = generator.sequence_logprobs("learner", asked, completions)
    choices = generator.choice_logits("learner", asked, [5, 9])
    model = load_base(folder)
    assert sum(map(len, completions)) > 12
    for ids, one, score, choice in zip(asked, said, scored, choices, strict=True):
        expected = forced(model, ids, one.token_ids)
        assert one.logprobs == pytest.approx(expected, abs=1e-4)
        assert score == pytest.approx(expected, abs=1e-4)
        assert choice == pytest.approx([forced(model, ids, (token,))[0] for token in (5, 9)], abs=1e-4)


def test_what_texts_begin_with_alike_is_read_once_and_changes_nothing(
    saved: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, folder = saved
    generator = HFGenerator({"learner": folder}, LORA, GeneratorConfig(), threads=1)
    opening, other = tuple(range(5, 37)), tuple(range(60, 80))
    asked = [(*opening, *tail) for tail in ((7,), (8, 9, 10), (*range(30, 42),), (7, 11))]
    asked += [(*other, 5), (*other, 9, 8, 7), (12, 13), (*opening[:4], 50)]
    completions = [(9, 10), (11, 12, 13, 14), (), (5,), (6, 7), (8,), (9, 10, 11), ()]
    requests = [GenerationRequest("learner", ids, 8, float(place % 2)) for place, ids in enumerate(asked)]
    calls = [
        lambda: [one.logprobs for one in generator.generate(requests, seed=0)],
        lambda: generator.choice_logits("learner", asked, [5, 9]),
        lambda: generator.sequence_logprobs("learner", asked, completions),
    ]
    whole = [call() for call in calls]
    used: list[int] = []
    monkeypatch.setattr(openings, "LARGE", 0)
    monkeypatch.setattr(openings, "SHORTEST", 16)
    fill = openings.Opening.fill
    monkeypatch.setattr(openings.Opening, "fill", lambda self, *args: used.append(len(self)) or fill(self, *args))
    for call, expected in zip(calls, whole, strict=True):
        used.clear()
        for got, known in zip(call(), expected, strict=True):
            assert got == pytest.approx(known, abs=1e-4)
        assert sorted(used) == ([] if name in WITHOUT_CACHE else [16, 32])


def test_hidden_states_equal_a_plain_forward(saved: tuple[str, str]) -> None:
    _, folder = saved
    generator, model = HFGenerator({"learner": folder}, LORA, GeneratorConfig(), threads=1), load_base(folder)
    prompts, completions = [(5, 6, 7), (8,), tuple(range(5, 35))], [(9, 10), (11, 12, 13, 14), ()]
    found = generator.hidden_states(folder, prompts, completions, [0, 1, 2])
    for prompt, completion, states in zip(prompts, completions, found, strict=True):
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *completion]])
            every = torch.stack(model(ids, use_cache=False, output_hidden_states=True).hidden_states)[:, 0]
        expected = [every[:, len(prompt) - 1], every[:, -1], every[:, len(prompt) - (not completion) :].mean(1)]
        assert states == pytest.approx(torch.stack(expected).numpy(), abs=1e-4)
    shallow = generator.hidden_states(folder, prompts, completions, [1, 0])
    assert shallow == pytest.approx(found[:, :, [1, 0]], abs=1e-5)


def test_states_after_an_opening_equal_those_of_the_whole_text(saved: tuple[str, str]) -> None:
    name, folder = saved
    if name in WITHOUT_CACHE:
        return
    model, opening = load_base(folder), list(range(5, 25))
    ids = torch.tensor([[*opening, 7, 8, 9, 0], [*opening, 11, 12, 13, 14]])
    batch = (ids, torch.tensor([21, 22]), torch.tensor([23, 24]))
    with torch.inference_mode():
        whole, after = pooled(model, [1, 2], *batch), pooled(model, [1, 2], *batch, opening=Opening(model, opening))
    torch.testing.assert_close(after, whole, atol=1e-4, rtol=1e-4)


def test_context_cache_and_size_are_known(saved: tuple[str, str]) -> None:
    name, folder = saved
    model = load_base(folder)
    assert has_cache(model) == (name not in WITHOUT_CACHE)
    assert load_chat(folder).context == (2048 if name in UNBOUNDED | {"falcon", "gpt_neo"} else 128)
    assert cache_bytes(model) > 0
    size = size_of(folder, rank=4)
    assert size.parameters == sum(weight.numel() for weight in model.parameters())
    assert (size.hidden, size.layers) == (32, 2)


def test_an_encoder_with_a_decoder_is_refused_in_one_line(tmp_path: Path) -> None:
    small = {"d_model": 32, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = CONFIG_MAPPING["t5"](vocab_size=64, architectures=["T5ForConditionalGeneration"], **small)
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="an encoder and a decoder; give a causal language model") as caught:
        HFGenerator({"learner": str(tmp_path)}, LORA, GeneratorConfig(), threads=1)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_cache_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = trained("byte_level", IM, CHATML)
    tokenizer.save_pretrained(tmp_path)
    config = CONFIG_MAPPING["mamba"](vocab_size=len(tokenizer), **STATE)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    HFGenerator({"critic": str(tmp_path), "learner": str(tmp_path)}, LORA, GeneratorConfig(), threads=1)
    assert len([line for line in caplog.messages if re.search("no key-value cache", line)]) == 1


def test_a_state_space_model_learns_and_its_adapter_is_served(tmp_path: Path) -> None:
    tokenizer = trained("split_digits", IM, CHATML)
    tokenizer.save_pretrained(tmp_path)
    config = CONFIG_MAPPING["mamba"](vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **STATE)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model, chat = str(tmp_path), load_chat(str(tmp_path))
    prompt = tuple(chat.prompt_ids([{"role": "user", "content": "how do I bake a cake?"}]))
    answer = chat.closed(chat.encode("yes, here is how"))
    service = TrainingService({"learner": model}, LORA, threads=1)
    row = {"prompt_ids": list(prompt), "completion_ids": answer, "weight": 1.0}
    service.train("learner", REFERENCE, [row] * 8, Phase(learning_rate=1e-2, epochs=2, batch_size=4))
    generator = HFGenerator({"learner": model}, LORA, GeneratorConfig(), threads=1)
    before = sum(generator.sequence_logprobs("learner", [prompt], [tuple(answer)])[0])
    generator.load_adapter("learner", service.adapter("learner"), 1)
    assert sum(generator.sequence_logprobs("learner", [prompt], [tuple(answer)])[0]) > before + 1


def test_an_adapter_with_nan_is_told_while_generating(tiny_model: str) -> None:
    generator = HFGenerator({"learner": tiny_model}, LORA, GeneratorConfig(), threads=1)
    layer = "base_model.model.model.layers.0.mlp.up_proj"
    halves = {"lora_A": (LORA.r, 32), "lora_B": (64, LORA.r)}
    tensors = {f"{layer}.{half}.weight": torch.full(shape, torch.nan).numpy() for half, shape in halves.items()}
    generator.load_adapter("learner", tensors, 1)
    calls = [
        lambda: generator.generate([GenerationRequest("learner", (5, 6), 4, 0.0)], seed=0),
        lambda: generator.choice_logits("learner", [(5, 6)], [7]),
        lambda: generator.sequence_logprobs("learner", [(5, 6)], [(7,)]),
    ]
    for call in calls:
        with pytest.raises(UserError, match="the model produces NaN"):
            call()
    assert generator.sequence_logprobs(None, [(5, 6)], [(7,)])


def test_a_probability_that_is_nan_ends_decoding(tiny_model: str) -> None:
    model = load_base(tiny_model)
    model.get_output_embeddings().weight.data[:] = torch.nan
    with pytest.raises(FloatingPointError):
        decode(model, [DecodingRequest((5, 6), 4, 1.0, (0, 0))], frozenset({1}))
