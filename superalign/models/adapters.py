"""Adapter folders (peft's), merged into the base that they name and kept as a folder of save_pretrained."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

from superalign.errors import UserError
from superalign.models.conversion import converted, digest, folder_digest
from superalign.models.pretrained import read_model, read_tokenizer, unloadable

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")
TASK: Final = "CAUSAL_LM"
EMBEDDINGS: Final = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out", "word_embeddings")
FORMAT: Final = "1"


def base_of(model: str, folder: Path) -> str:
    """The base that an adapter names, as it is written there.

    Raises:
        UserError: it names none, has no weights, or is of no causal language model.
    """
    settings = _settings(model, folder)
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UserError(f"model={model}: {folder} is an adapter without weights ({WEIGHTS[0]})")
    task = settings.get("task_type")
    if task not in (None, TASK):
        raise UserError(f"model={model}: {folder} is an adapter for {task}, and a causal language model is needed")
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"model={model}: {folder} is an adapter that names no base: put base_model_name_or_path into its {CONFIG}"
        )
    return base


def merged_folder(model: str, folder: Path, base: str) -> str:
    """The folder of the base with the adapter merged into it, W = W0 + alpha/r B A; merged once.

    Args:
        model: what the user calls it.
        folder: of the adapter.
        base: folder or hub name of its base, as `resolve` gives it.

    Raises:
        UserError: one of them cannot be loaded, or they do not fit.
    """
    known = folder_digest(Path(base)) if Path(base).is_dir() else base

    def make(out: Path) -> None:
        from peft import PeftModel, get_peft_model_state_dict
        from peft.utils import load_peft_weights

        whole = read_model(base, base, "float32")
        try:
            with warnings.catch_warnings(action="ignore"):  # of keys that do not fit, which are refused below
                adapted = PeftModel.from_pretrained(whole, str(folder))
            given = set(load_peft_weights(str(folder), device="cpu"))
        except Exception as error:  # peft has no class of its own for adapters that do not fit
            raise unloadable(model, f"adapter onto {base}", error) from error
        _check_keys(model, base, given, set(get_peft_model_state_dict(adapted, save_embedding_layers=False)))
        merged = adapted.merge_and_unload()
        merged.save_pretrained(out)
        own = (folder / "tokenizer.json").is_file()
        read_tokenizer(model if own else base, str(folder) if own else base).save_pretrained(out)

    say = f"model={model}: merging the adapter into its base {base}"
    return converted(folder.resolve().name, digest(folder_digest(folder), known, FORMAT), say, make)


def _check_keys(model: str, base: str, given: set[str], taken: set[str]) -> None:
    """Refuse an adapter of another model with layers of the same shapes: peft leaves out in silence what has no place.

    Embeddings that were trained with an adapter replace those of the base, and are none of its own keys.
    """
    strange = {key for key in given - taken if not any(part in key for part in EMBEDDINGS)} | (taken - given)
    if strange:
        raise UserError(
            f"model={model}: the adapter does not fit its base {base}: only one of them has {min(strange)}, and "
            f"{len(strange) - 1} more differ; name the base that it was trained on"
        )


def _settings(model: str, folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"model={model}: {folder / CONFIG} is no readable JSON ({error})") from None
    if not isinstance(found, dict):
        raise UserError(f"model={model}: {folder / CONFIG} holds no settings")
    return found
