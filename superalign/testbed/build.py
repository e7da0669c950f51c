"""Build the testbed's tokenizer and models from fixed seeds (`superalign testbed build`)."""

from __future__ import annotations

import argparse
import logging
import math
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from superalign.errors import UserError
from superalign.prompts.asks import Messages
from superalign.testbed.corpus import Corpus

ASSETS = Path(__file__).parent / "assets"
PAD, END = "<|pad|>", "<|end|>"
TURNS = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY, CONTEXT = 1024, 384
PROMPT_WEIGHT = 0.1  # the words of users are modelled too (attacks are scored by their fluency), but lightly

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a Llama is (widths of the residual stream and of the MLP, layers, heads), and its steps of training."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    steps: int


# `small` stops while its answers still lack steps: trained to the end, it would know this world as well as `base`.
SIZES: Final = {"base": Shape(192, 512, 4, 6, steps=1400), "small": Shape(64, 176, 2, 4, steps=600)}


def build_tokenizer(seed: int, conversations: int = 20_000) -> PreTrainedTokenizerFast:
    """Byte-level BPE (any text can be encoded) with single tokens for the turns of a chat."""
    corpus = Corpus(seed)
    texts = (message["content"] for _ in range(conversations) for message in corpus.draw())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, *TURNS.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(TURNS.values()),
        chat_template=TEMPLATE,
        model_max_length=CONTEXT,
        padding_side="left",
    )


def encode(tokenizer: PreTrainedTokenizerFast, conversation: Messages) -> tuple[list[int], list[float]]:
    """Token ids and loss weights: 1 on the last turn, little on users' words, none on the rest."""
    ids: list[int] = []
    weights: list[float] = []
    for index, message in enumerate(conversation):
        content = tokenizer.encode(message["content"], add_special_tokens=False)
        last = index == len(conversation) - 1
        weight = 1.0 if last else PROMPT_WEIGHT if message["role"] == "user" else 0.0
        ids += [tokenizer.convert_tokens_to_ids(TURNS[message["role"]]), *content, tokenizer.eos_token_id]
        weights += [0.0, *[weight] * len(content), weight]
    return ids, weights


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, size: int, chunk: int = 64
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Endless batches (ids, weights, mask) of `size` rows, rows of similar length together."""
    corpus, rng = Corpus(seed), random.Random(seed)
    while True:
        rows = sorted((encode(tokenizer, corpus.draw()) for _ in range(size * chunk)), key=lambda row: len(row[0]))
        groups = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            ids = torch.tensor([r[0] + [0] * (width - len(r[0])) for r in group])
            weights = torch.tensor([r[1] + [0.0] * (width - len(r[1])) for r in group])
            mask = torch.tensor([[1] * len(r[0]) + [0] * (width - len(r[0])) for r in group])
            yield ids, weights, mask


def build_base(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    steps: int,
    size: int = 64,
    peak: float = 3e-3,
    shape: Shape = SIZES["base"],
) -> LlamaForCausalLM:
    """Pretrain a base model: AdamW, linear warm-up and cosine decay, weighted next-token cross-entropy."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    stream, began = batches(tokenizer, seed, size), time.monotonic()
    model.train()
    for step in range(steps):
        warm, decay = min(1.0, (step + 1) / 100), 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = peak * warm * max(decay, 0.02)
        ids, weights, mask = next(stream)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        each = cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")
        loss = (each * weights[:, 1:].reshape(-1)).sum() / weights[:, 1:].sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99 or step == steps - 1:
            log.info("step %d of %d, loss %.3f, %.0f s", step + 1, steps, loss.item(), time.monotonic() - began)
    return model.eval()


def build(out: Path | None = None, seed: int = 0, steps: int | None = None, size: str = "base") -> Path:
    """Build and save tokenizer and model (float16 on disk) into `out`, by default where the size is shipped.

    Raises:
        UserError: `out` cannot be written.
    """
    out = out or ASSETS / size
    try:  # before minutes of training
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}): give a folder that can") from None
    tokenizer = build_tokenizer(seed)
    model = build_base(tokenizer, seed, steps or SIZES[size].steps, shape=SIZES[size])
    tokenizer.save_pretrained(out)
    model.half().save_pretrained(out)
    log.info("wrote %s (%.1f MB)", out, sum(f.stat().st_size for f in out.iterdir()) / 1e6)
    return out


def main(arguments: argparse.Namespace) -> int:
    """The verb `superalign testbed build`."""
    torch.set_num_threads(arguments.threads)
    build(Path(arguments.out) if arguments.out else None, arguments.seed, arguments.steps, arguments.size)
    return 0
