"""Small tokenizers of the kinds that language models have, trained on a few lines."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

Kind = Literal[
    "byte_level", "prefix_space", "split_digits", "unigram", "prepend_first", "prepend_always", "legacy", "gemma"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
BYTE_LEVEL = ("byte_level", "prefix_space", "split_digits")
BEGIN, END, UNKNOWN, PAD = "<s>", "</s>", "<unk>", "<pad>"
LINES = [
    "how do I bake a cake? be kind, please",
    "def f(x):\n    return x + 1\n\n\tprint(f(2))",
    "the answer is yes; no, I cannot help with that. Sure, here is how",
    "user assistant system model [INST] [/INST] <<SYS>> <</SYS>> You are a helpful assistant.",
] * 20


def trained(kind: Kind, specials: tuple[str, ...] = (), template: str | None = None) -> PreTrainedTokenizerFast:
    """A fast tokenizer; `specials` are further special tokens of its chat template."""
    made = _unigram() if kind == "unigram" else _byte_level(kind) if kind in BYTE_LEVEL else _sentencepiece(kind)
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    if kind == "gemma":  # its added tokens stand for ordinary text
        ordinary = [*("▁" * n for n in range(2, 6)), "\n\n", "<b>", "</b>"]
        made.add_tokens([AddedToken(text, special=False, normalized=False) for text in ordinary])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=BEGIN, eos_token=END, unk_token=UNKNOWN, pad_token=PAD, chat_template=template
    )
    fast.model_max_length = 512
    return fast


def _byte_level(kind: Kind) -> Tokenizer:
    made = Tokenizer(models.BPE())
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=kind == "prefix_space", use_regex=kind != "split_digits")
    if kind == "split_digits":  # as Llama 3 and Qwen split texts
        pattern = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|[^\r\n\p{L}\p{N}]?\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+"
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_alone])
    else:
        made.pre_tokenizer = bytes_alone
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=[UNKNOWN, BEGIN, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(LINES, trainer)
    return made


def _unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=[UNKNOWN, BEGIN, END, PAD], unk_token=UNKNOWN, show_progress=False
    )
    made.train_from_iterator(LINES, trainer)
    return made


def _sentencepiece(kind: Kind) -> Tokenizer:
    first = Tokenizer(models.BPE(unk_token=UNKNOWN))
    first.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=[UNKNOWN, BEGIN, END, PAD], show_progress=False)
    first.train_from_iterator(LINES, trainer)
    learned: dict[str, Any] = json.loads(first.to_str())["model"]
    vocabulary, merges = dict(learned["vocab"]), [tuple(pair) for pair in learned["merges"]]
    for n in range(2, 6):
        vocabulary["▁" * n] = len(vocabulary)
        merges.append(("▁" * (n - 1), "▁"))
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    strip = [decoders.Strip(" ", 1, 0)]
    if kind == "legacy":
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
    elif kind == "gemma":
        made.normalizer, strip = spaces, []
    else:
        scheme = "first" if kind == "prepend_first" else "always"
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    return made
