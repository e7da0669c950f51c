"""Read what lies in a folder or on the hub with transformers; whatever goes wrong is one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from superalign.errors import UserError
from superalign.models import checks
from superalign.models.permissions import may_run_code

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

OTHER_HEADS: Final = (
    *("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice"),
    *("ForMaskedLM", "ForPreTraining"),
)
"""Ends of the names of architectures that predict no next token."""

TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
"""Any of these holds a vocabulary."""

log = logging.getLogger(__name__)


def unloadable(model: str, what: str, error: Exception) -> UserError:
    """One line for whatever transformers, safetensors or the hub raised while something of a model was read."""
    if "trust_remote_code" in str(error):
        return UserError(
            f"model={model}: it comes with code of its own, which would run with your rights: read it, then set "
            "models.trust_remote_code=true, or use another model"
        )
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    local = Path(model).expanduser().exists()
    remedy = "check its files" if local else "check the name and the network, or download it first"
    return UserError(f"model={model}: cannot load its {what} ({first}); {remedy}")


def read_config(model: str, path: str, **settings: Any) -> PretrainedConfig:
    """The config of a model.

    Raises:
        UserError: it cannot be read, or is of a model with code of its own that may not run.
    """
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(path, trust_remote_code=may_run_code(), **settings)
    except Exception as error:
        raise unloadable(model, "config", error) from error
    return config


def read_tokenizer(model: str, path: str, **settings: Any) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model, with a pad token (the end or the unknown token where it has none of its own).

    Raises:
        UserError: there is none, or only a slow one, or the hub cannot be reached.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(
            path, trust_remote_code=may_run_code(), **settings
        )
    except Exception as error:  # transformers and tokenizers raise bare Exceptions for broken files
        folder = Path(path)
        if folder.is_dir() and not settings and not any((folder / name).is_file() for name in TOKENIZERS):
            raise UserError(f"model={model}: {path} has no tokenizer (tokenizer.json); save it there, too") from error
        raise unloadable(model, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise UserError(f"model={model}: its tokenizer has no tokenizer.json; save it with a fast tokenizer")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise UserError(f"model={model}: its tokenizer has no pad, end or unknown token; set pad_token in it")
    tokenizer.padding_side = "left"
    return tokenizer


def read_model(model: str, path: str, dtype: str, **settings: Any) -> PreTrainedModel:
    """The causal language model with frozen weights, in evaluation mode.

    Raises:
        UserError: it cannot be loaded, lacks weights, is no causal language model, or holds or produces NaN.
    """
    import torch
    from transformers import AutoModelForCausalLM

    check_head(model, settings.get("config") or read_config(model, path, **settings))
    with _quiet():
        try:
            base, report = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=getattr(torch, dtype),
                trust_remote_code=may_run_code(),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **settings,
            )
        except Exception as error:  # safetensors and transformers share no base class for broken or missing files
            raise unloadable(model, "model", error) from error
    _check_shapes(model, report["mismatched_keys"])
    _check_keys(model, sorted(report["missing_keys"]), sorted(report["unexpected_keys"]))
    made: PreTrainedModel = base.eval().requires_grad_(False)
    checks.check_sound(model, made)
    return made


def check_head(model: str, config: PretrainedConfig) -> None:
    """Refuse what is no causal language model by its own word.

    Raises:
        UserError: it has an encoder and a decoder, or another head than the one that predicts the next token.
    """
    name = (getattr(config, "architectures", None) or [""])[0]
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"model={model}: {name or config.model_type} has an encoder and a decoder; give a causal language model"
        )
    if name.endswith(OTHER_HEADS):
        raise UserError(
            f"model={model}: {name} is no causal language model (its lm_head missing): give the language model that "
            "it was made from"
        )


def _check_shapes(model: str, mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]]) -> None:
    for key, found, wanted in sorted(mismatched):
        raise UserError(
            f"model={model}: its weight {key} has the shape {tuple(found)}, and its config asks for {tuple(wanted)}: "
            "they are of different models"
        )


def _check_keys(model: str, missing: list[str], unexpected: list[str]) -> None:
    if missing:
        heads = [key for key in missing if "lm_head" in key or "embed_out" in key]
        first, others = (heads or missing)[0], len(missing) - 1
        more = f" and {others} more" if others else ""
        raise UserError(
            f"model={model}: {first} missing from its weights{more}, which would be drawn at random: give a folder "
            "with the whole causal language model"
        )
    if unexpected:
        log.warning(
            "model=%s: %d weights of its files are not used, the first is %s", model, len(unexpected), unexpected[0]
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar, which would write into the run's own, and the table of keys."""
    from transformers.utils import logging as theirs

    theirs.disable_progress_bar()
    spoken = theirs.get_verbosity()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(spoken)
