"""Transformers models without their heads: what they are, whether they fit into memory, their hidden states."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from superalign.errors import UserError
from superalign.models import device, load_base, load_config, may_run_code, resolve
from superalign.weak_to_strong.base import Text
from superalign.weak_to_strong.models.tokenization import Padded, Tokens, inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CAUSAL = ("ForCausalLM", "LMHeadModel")
CLASSIFIER = "ForSequenceClassification"
HASHED_WHOLE = 64_000_000  # bytes; larger files are known by size and time of change
MEMINFO = Path("/proc/meminfo")
BYTES = 4  # of a parameter: models are loaded in float32
ADAM_COPIES = 4  # weights, gradients and two moments


@dataclass(frozen=True)
class Outline:
    """What a model is, known without its weights.

    Attributes:
        causal: it reads from left to right, and its last token has seen the whole text.
        classifier: it comes with a classification head of `outputs` outputs.
        layers: hidden layers; the embeddings are layer 0.
        parameters: how many it has.
    """

    causal: bool
    classifier: bool
    outputs: int
    layers: int
    parameters: int


@lru_cache(maxsize=16)
def outline(model: str) -> Outline:
    """The outline of a model.

    Raises:
        UserError: its config cannot be read, or it is an encoder with a decoder.
    """
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

    try:
        config = load_config(model)
        name = (config.architectures or [""])[0]
        classifier, causal = name.endswith(CLASSIFIER), name.endswith(CAUSAL)
        auto = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM if causal else AutoModel
        with torch.device("meta"):
            drawn = auto.from_config(config, trust_remote_code=may_run_code())
    except (OSError, ValueError) as error:
        raise _unloadable(model, error) from error
    if config.is_encoder_decoder:
        raise UserError(
            f"model={model}: {name} has an encoder and a decoder; give a causal language model or an encoder"
        )
    return Outline(
        # transformers' decoders with a classification head call it `score`, encoders `classifier`.
        causal=causal or hasattr(drawn, "score"),
        classifier=classifier,
        outputs=config.num_labels if classifier else 0,
        layers=config.get_text_config().num_hidden_layers,
        parameters=sum(p.numel() for p in drawn.parameters()),
    )


def check_layer(spec: str, model: str, layer: int) -> None:
    """Refuse a layer that the model lacks.

    Raises:
        UserError: it does.
    """
    layers = outline(model).layers
    if not -layers - 1 <= layer <= layers:
        raise UserError(
            f"{spec}: {model} has layers 0 (embeddings) to {layers}; write for example probe:{model}@{layers}"
        )


def check_memory(spec: str, model: str, trained: bool) -> None:
    """Refuse a model before it is loaded, if its weights (with gradients and moments, if trained) cannot fit.

    Raises:
        UserError: it needs more memory than is free.
    """
    needs = outline(model).parameters * BYTES * (ADAM_COPIES if trained else 1) / 1e9
    free = free_memory() / 1e9
    if needs > free:
        remedy = "use lora: or probe:, or a smaller model" if trained else "use a smaller model"
        raise UserError(f"strong={spec} needs about {needs:.1f} GB and this machine has {free:.1f} GB free: {remedy}")


def tokens(model: str, texts: Sequence[Text]) -> Tokens:
    """Texts as this model reads them."""
    return Tokens(model, texts, outline(model).causal, device())


def free_memory() -> int:
    """Bytes that can be had on the device that models are loaded to."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    if MEMINFO.is_file():  # free pages alone leave out what caches would give back
        known = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        return int(known["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def identity(model: str) -> str:
    """A hash of a model's files; of a hub model, its name and the commit that is loaded."""
    path = resolve(model)
    if not Path(path).is_dir():
        return f"{path}@{getattr(load_config(model), '_commit_hash', None)}"
    made = hashlib.sha256()
    for file in sorted(Path(path).iterdir()):
        if file.is_file():
            made.update(file.name.encode())
            about = file.stat()
            whole = about.st_size <= HASHED_WHOLE
            made.update(file.read_bytes() if whole else repr((about.st_size, about.st_mtime_ns)).encode())
    return made.hexdigest()


@dataclass
class Backbone:
    """A loaded model without its head.

    Attributes:
        whole: the model as it was saved, head included.
        causal: as in `Outline`.
        unembedding: of causal language models, [vocabulary, width].
    """

    whole: PreTrainedModel
    causal: bool
    unembedding: Tensor | None

    @property
    def body(self) -> nn.Module:
        """The model up to its last hidden states."""
        body: nn.Module = self.whole.base_model
        return body

    def states(self, batch: Padded, layer: int = -1) -> Tensor:
        """Hidden states after a layer, [b, t, width]; -1 are the last, normalised as the head reads them."""
        if layer == -1:
            return self.body(**inputs(batch)).last_hidden_state
        return self.body(**inputs(batch), output_hidden_states=True).hidden_states[layer]


def load(model: str) -> Backbone:
    """The model in float32, frozen and in evaluation mode, on the GPU if there is one.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import AutoModel, AutoModelForSequenceClassification
    from transformers.utils import logging

    about = outline(model)
    if about.causal and not about.classifier:
        whole = load_base(model)
    else:
        auto = AutoModelForSequenceClassification if about.classifier else AutoModel
        spoken = logging.get_verbosity()
        logging.set_verbosity_error()  # that a base has no use for the head of its pretraining is reported at length
        try:
            with torch.random.fork_rng():
                torch.manual_seed(0)  # of a pooler that was not saved
                whole = auto.from_pretrained(resolve(model), dtype=torch.float32, trust_remote_code=may_run_code())
                whole = whole.eval().requires_grad_(False)
        except Exception as error:  # as in load_base
            raise _unloadable(model, error) from error
        finally:
            logging.set_verbosity(spoken)
    whole.config.use_cache = False
    head = whole.get_output_embeddings() if about.causal and not about.classifier else None
    return Backbone(whole.to(device()), about.causal, None if head is None else head.weight)


def _unloadable(model: str, error: Exception) -> UserError:
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return UserError(f"model={model}: cannot load it ({first}); check its files, or the name and the network")
