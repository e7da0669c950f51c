"""What `generate` and `eval` are about: a run with its last weights, or a bare model."""

from __future__ import annotations

from pathlib import Path

from superalign.config.compose import restore
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.models import HUB, SHIPPED
from superalign.store.adapters import TRAINED, WEIGHTS
from superalign.store.folder import RunFolder


def open_target(target: str) -> tuple[Config, HFGenerator, RunFolder | None]:
    """The settings and a generator of a run with its last committed adapters, or of a model without any.

    A run that was generated for by vLLM is read by transformers, too: the weights are the same, and nothing need start.

    Raises:
        UserError: the target is neither, the run has committed no round, or its recipe trains no roles.
    """
    try:
        run = RunFolder.open(target)
    except UserError:
        if not (target in SHIPPED or target.startswith(HUB) or (Path(target) / "config.json").is_file()):
            raise
        config = Config(model=target)
        return config, _generator(config), None
    config = restore(run.config(), str(run.folder))
    last = run.last_round()
    if last is None:
        raise UserError(f"{run.folder} has committed no round yet, so it has no adapters to load")
    weights = run.round_path(last) / WEIGHTS
    if not weights.is_dir():
        raise UserError(
            f"{run.folder} is a run of recipe={config.recipe}, which trains no {', '.join(TRAINED)}: "
            "give a run of recipe=selfplay, or a model"
        )
    from safetensors.numpy import load_file

    generator = _generator(config)
    for role in TRAINED:
        tensors = load_file(weights / role / "adapter_model.safetensors")
        generator.load_adapter(role, tensors, last)
    return config, generator, run


def _generator(config: Config) -> HFGenerator:
    models = {role: config.model_of(role) for role in (*TRAINED, "judge")}
    models["judge"] = models["critic"]
    return HFGenerator(models, config.lora, config.generator, config.cluster.threads)
