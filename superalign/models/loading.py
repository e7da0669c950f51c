"""Load a model, its config, tokenizer and chat by its reference."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from superalign.errors import UserError
from superalign.models.chat import Chat
from superalign.models.checks import check_vocabulary
from superalign.models.precision import chosen_dtype
from superalign.models.pretrained import read_config, read_model, read_tokenizer
from superalign.models.references import resolve
from superalign.models.template import template_source

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

CONTEXTS: Final = ("max_position_embeddings", "max_seq_len", "n_positions", "n_ctx", "seq_length", "context_length")
"""What configs call the longest text, the usual name first."""
UNBOUNDED: Final = 2048  # tokens, where neither config nor tokenizer names a limit (state-space models, ALiBi)

log = logging.getLogger(__name__)


@contextmanager
def shortage_told(doing: str, remedy: str) -> Iterator[None]:
    """Turn a GPU without enough memory, inside the block, into one line that names the settings which need less.

    Raises:
        UserError: as described.
    """
    try:
        yield
    except Exception as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise
        # The first sentences say how much was tried; then PyTorch speaks of its own settings.
        reason = ". ".join(" ".join(str(error).split()).split(". ")[:2])
        raise UserError(f"no memory left on the GPU while {doing} ({reason}): {remedy}") from error


def load_config(model: str) -> PretrainedConfig:
    """The config of a model.

    Raises:
        UserError: it cannot be read.
    """
    return read_config(model, resolve(model))


@lru_cache(maxsize=8)
def load_tokenizer(model: str) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model, with a pad token (the end or the unknown token where it has none of its own).

    Raises:
        UserError: there is none, or only a slow one, or the hub cannot be reached.
    """
    return read_tokenizer(model, resolve(model))


def load_base(model: str, dtype: str = "float32") -> PreTrainedModel:
    """The causal language model with frozen weights, in evaluation mode.

    Args:
        model: its reference.
        dtype: float32, bfloat16, or auto: what is faster here.

    Raises:
        UserError: it cannot be loaded (broken files, unknown architecture, hub not reachable), is no causal language
            model, produces NaN, or bfloat16 was asked for where it is slow.
    """
    return read_model(model, resolve(model), chosen_dtype(dtype))


@lru_cache(maxsize=8)
def load_chat(model: str) -> Chat:
    """The `Chat` of a model: its tokenizer, context length and everything its generation config stops at.

    Raises:
        UserError: one of these cannot be read, the tokenizer is another model's, or the chat template is broken.
    """
    from transformers import GenerationConfig

    whole, tokenizer = load_config(model), load_tokenizer(model)
    config = whole.get_text_config()
    check_vocabulary(model, tokenizer, template_source(tokenizer), config)
    try:
        stops = GenerationConfig.from_pretrained(resolve(model)).eos_token_id
    except OSError:  # a generation config is optional
        stops = config.eos_token_id
    listed = [stops] if isinstance(stops, int) else list(stops or [])
    return Chat(tokenizer, context_of(model, config, tokenizer.model_max_length), listed)


def context_of(model: str, config: Any, tokenizer_limit: int | float) -> int:
    """The longest text of a model in tokens, from its config, else its tokenizer, else a usual one, which is said."""
    for name in CONTEXTS:
        if isinstance(found := getattr(config, name, None), int) and found > 0:
            return found
    if tokenizer_limit < 1e9:  # transformers' word for none is about 1e30
        return int(tokenizer_limit)
    log.warning("model=%s: its config names no longest text; %d tokens are used", model, UNBOUNDED)
    return UNBOUNDED
