"""What the weights of a run take: its models' parameters, and the memory of bases, adapters and Adam."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from superalign.config.schema import Config
from superalign.config.sections import FewShotAttackerConfig
from superalign.errors import UserError
from superalign.models import HUB, chosen_dtype, may_run_code, resolve
from superalign.models.pretrained import unloadable
from superalign.planning.run_plan import Training
from superalign.store.adapters import TRAINED

BYTES: Final = {"float32": 4, "bfloat16": 2}
ADAPTER_BYTES: Final = 4  # adapters are float32
FETCH_LIMIT_S: Final = 10.0
ADAM_BYTES: Final = 8  # two moments of each weight
LAYER_BYTES: Final = 34  # activations of a token and hidden unit in a layer (arXiv 2205.05198, attention not stored)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model is.

    Attributes:
        parameters: all of them.
        linear: those of the linear layers that adapters change.
        adapter: parameters of one adapter.
        hidden, layers: units of a layer, and how many layers there are.
    """

    parameters: int
    linear: int
    adapter: int
    hidden: int
    layers: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process, in bytes, with what it is made of."""

    process: str
    parts: Mapping[str, int]
    times: int = 1

    @property
    def total(self) -> int:
        """Of one such process."""
        return sum(self.parts.values())


def size_of(model: str, rank: int) -> Size:
    """A model's size from its config alone; no weights are loaded, and nothing is kept of what is downloaded.

    Raises:
        UserError: the config cannot be read.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    config = _model_config(model)
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(config, trust_remote_code=may_run_code())
    head, inner = made.get_output_embeddings(), config.get_text_config()
    layers = [m for m in made.modules() if isinstance(m, torch.nn.Linear | Conv1D) and m is not head]
    return Size(
        parameters=sum(p.numel() for p in made.parameters()),
        linear=sum(m.weight.numel() for m in layers),
        adapter=sum(rank * sum(m.weight.shape) for m in layers),
        hidden=inner.hidden_size,
        layers=inner.num_hidden_layers,
    )


def _model_config(model: str) -> Any:
    """A model's config, of the hub's models as they lie in its cache, else read over the network."""
    from transformers import AutoConfig

    path = resolve(model)
    try:
        try:
            return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=may_run_code())
        except OSError:
            if not model.startswith(HUB):
                raise
        with tempfile.TemporaryDirectory(prefix="superalign-config-") as folder:
            _fetch(path, Path(folder))
            return AutoConfig.from_pretrained(folder, trust_remote_code=may_run_code())
    except Exception as error:  # transformers, the hub and the network raise what they like
        if "trust_remote_code" in str(error):
            raise unloadable(model, "config", error) from None
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"model={model}: its size cannot be told ({first})") from None


def _fetch(name: str, folder: Path) -> None:
    """Read a hub model's config; its own client would try for half a minute where there is no network."""
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise OSError("it is not in the cache, and HF_HUB_OFFLINE is set")
    headers = {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}
    with urlopen(Request(hf_hub_url(name, "config.json"), headers=headers), timeout=FETCH_LIMIT_S) as answer:
        (folder / "config.json").write_bytes(answer.read())


def memory(
    config: Config, sizes: Mapping[str, Size], models: Mapping[str, str], training: Sequence[Training]
) -> list[Memory]:
    """Memory of engines and learner workers: weights, and what a step of the largest phase keeps for its gradients.

    Args:
        config: the settings.
        sizes: of the models.
        models: the model of each role that takes part.
        training: the phases.
    """
    workers, engines = config.cluster.learner_workers, config.generator.engines
    trainer = Memory("learner worker", _trainer(config, sizes, models, training), workers)
    if not set(models) & set(TRAINED):  # a reward model is alone
        return [trainer]
    return [Memory("engine", _engine(config, sizes, models), engines), trainer]


def _engine(config: Config, sizes: Mapping[str, Size], models: Mapping[str, str]) -> dict[str, int]:
    width, chosen = _bytes(config.generator.dtype), set(models.values())
    parts = {"bases": sum(width * sizes[model].parameters for model in chosen)}
    if config.generator.backend == "hf":
        parts["merged layers"] = sum(width * sizes[model].linear for model in chosen)
    return parts | {"adapters": sum(ADAPTER_BYTES * sizes[model].adapter for model in models.values())}


def _trainer(
    config: Config, sizes: Mapping[str, Size], models: Mapping[str, str], training: Sequence[Training]
) -> dict[str, int]:
    chosen = set(models.values())
    share = config.cluster.learner_workers if config.cluster.shard else 1
    bases = sum(_bytes(config.trainer.dtype) * sizes[model].parameters for model in chosen) // share
    # The slot, its gradient and the reference; beside them each role's own weights.
    slots = sum(3 * ADAPTER_BYTES * sizes[model].adapter for model in chosen)
    roles = sum(ADAPTER_BYTES * sizes[model].adapter for model in models.values())
    adam = sum(ADAM_BYTES * sizes[model].adapter for model in models.values())
    kept = max((_activations(config, sizes[models[each.role]], each) for each in training), default=0)
    return {"bases": bases, "adapters": slots + roles, "Adam": adam, "activations": kept}


def _activations(config: Config, size: Size, training: Training) -> int:
    """Of the rows that a worker has at once, each a query and an answer of full length."""
    rows = min(training.batch, training.rows) * training.completions + training.anchors
    rows = min(config.trainer.micro_batch or rows, -(-rows // config.cluster.learner_workers))
    return rows * row_tokens(config) * size.hidden * size.layers * LAYER_BYTES


def _bytes(dtype: str) -> int:
    """Of a weight; of `auto` what would be chosen on this machine."""
    return BYTES[chosen_dtype(dtype) if dtype == "auto" else dtype]


def row_tokens(config: Config) -> int:
    """Tokens of a query and an answer of full length."""
    attacker = config.attacker
    asked = attacker.max_new_tokens if isinstance(attacker, FewShotAttackerConfig) else config.learner.max_new_tokens
    return asked + config.learner.max_new_tokens
