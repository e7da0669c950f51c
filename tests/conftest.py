"""Slow files first, interruptions, and small models: random Llamas with a byte-level tokenizer, saved as by a user."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Be interruptible: xdist's workers ignore SIGINT, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests of bfloat16 have tiny models, which are quick enough on a CPU that does not know it.
    os.environ.setdefault("SUPERALIGN_SLOW_BFLOAT16", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test come first: begun last, one would leave the other workers without work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIALS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def save_tiny_llama(folder: Path, seed: int = 0, template: str | None = TEMPLATE, context: int = 128) -> str:
    """A random Llama of two layers with a tokenizer trained on a few words; returns its folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["how do I bake a cake", "the answer is yes", "no, I cannot help"] * 20, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIALS[0],
        eos_token=SPECIALS[1],
        additional_special_tokens=SPECIALS[2:],
        chat_template=template,
        model_max_length=context,
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=320,  # a little more than the tokenizer has, as many models do
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        initializer_range=0.3,  # far enough from uniform that greedy choices are no near-ties
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random Llama."""
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., str]:
    """Makes further tiny models: `make_model(name, seed=..., template=..., context=...)`."""
    return lambda name="model", **settings: save_tiny_llama(tmp_path / name, **settings)


@pytest.fixture(scope="session")
def stories() -> str:
    """The shared 940 k parameter story model (skips where it is not there)."""
    data = Path(os.environ.get("SUPERALIGN_TEST_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    folder = data.parent / "models" / "stories940k"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return str(folder)
