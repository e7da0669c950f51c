"""GGUF files (llama.cpp's format), read by transformers and kept as a folder of save_pretrained."""

from __future__ import annotations

import copy
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Final

from superalign.errors import UserError
from superalign.models.conversion import converted, file_digest
from superalign.models.pretrained import read_config, read_model, read_tokenizer

MAGIC: Final = b"GGUF"
FORMAT: Final = "1"  # of what is kept: another one is converted anew


def is_gguf(file: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    with open(file, "rb") as handle:
        return handle.read(len(MAGIC)) == MAGIC


def gguf_folder(model: str, file: Path) -> str:
    """The folder of the model in a GGUF file, in float32; converted once.

    Raises:
        UserError: the package `gguf` is not installed, or transformers cannot read the file.
    """
    if find_spec("gguf") is None:
        raise UserError(f"model={model}: GGUF files are read with the package gguf: pip install gguf")
    size = file.stat().st_size / 1e6
    say = f"model={model}: converting {size:,.0f} MB of GGUF, about 20 s for each 100 MB"

    def make(folder: Path) -> None:
        # Parsing the vocabulary takes seconds; with the config at hand it is parsed fewer times.
        place: dict[str, Any] = {"gguf_file": file.name}
        place["config"] = read_config(model, str(file.parent), **place)
        with redirect_stderr(StringIO()):  # a progress bar that asks nobody
            tokenizer = read_tokenizer(model, str(file.parent), **place)
            read = read_model(model, str(file.parent), "float32", **place)
        config = copy.deepcopy(read.config)
        if hasattr(config, "quantization_config"):  # the weights are whole numbers no longer, and may be saved
            del config.quantization_config
        whole = type(read)(config)
        whole.load_state_dict(read.state_dict(), strict=False)
        whole.tie_weights()
        whole.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return converted(file.stem, file_digest(file) + FORMAT, say, make)
