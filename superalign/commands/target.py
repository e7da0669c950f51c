"""What `generate` and `eval` are about: a run with its last weights, or a bare model."""

from __future__ import annotations

import sys
from pathlib import Path

from superalign.config.compose import restore
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.loop.pins import changed_models
from superalign.models import is_reference
from superalign.store.adapters import TRAINED, WEIGHTS
from superalign.store.folder import RunFolder


def find_target(target: str) -> RunFolder | None:
    """The run that this is; None for a model.

    Raises:
        UserError: it is neither.
    """
    try:
        return RunFolder.open(target)
    except UserError:
        if is_reference(target):
            return None
        raise


def open_target(target: str) -> tuple[Config, HFGenerator, RunFolder | None]:
    """The settings and a generator of a run with its last committed adapters, or of a model without any.

    A run that was generated for by vLLM is read by transformers, too: the weights are the same, and nothing need start.
    The files that its settings name are looked for where the run found them.

    Raises:
        UserError: the target is neither, the run has committed no round, or its recipe trains no roles.
    """
    run = find_target(target)
    if run is None:
        config = Config(model=target)
        return config, _generator(config), None
    config = restore(run.located_config(), str(run.folder))
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

    for name in changed_models(run):
        print(f"warning: {name} is another model than {run.folder} was trained on", file=sys.stderr)
    generator = _generator(config)
    for role in TRAINED:
        tensors = load_file(weights / role / "adapter_model.safetensors")
        generator.load_adapter(role, tensors, last)
    return config, generator, run


def split_role(target: str) -> tuple[str, str | None]:
    """The run and the role of `RUN:ROLE`; what names no run, or no role that runs train, is a target as it is."""
    run, colon, role = target.rpartition(":")
    folders = (Path(run), Path("runs") / run)
    if colon and role in TRAINED and any((folder / "format").is_file() for folder in folders):
        return run, role
    return target, None


def _generator(config: Config) -> HFGenerator:
    models = {role: config.model_of(role) for role in (*TRAINED, "judge")}
    models["judge"] = models["critic"]
    return HFGenerator(models, config.lora, config.generator, config.cluster.threads)
