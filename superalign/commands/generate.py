"""Talk to a role of a run, or to a bare model (`superalign generate`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import HUB, SHIPPED, load_chat
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
    config = Config.model_validate(run.config())
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


def talk(target: str, *, role: str, prompt: str | None, max_new_tokens: int, temperature: float, seed: int) -> int:
    """Print the answer to `prompt`, or to every line of standard input."""
    config, generator, _ = open_target(target)
    chat = load_chat(config.model_of(role))
    for text in [prompt] if prompt is not None else _lines():
        ids = tuple(chat.prompt_ids([{"role": "user", "content": text}], max_new_tokens))
        request = GenerationRequest(role, ids, max_new_tokens, temperature)
        print(generator.generate([request], seed)[0].text, flush=True)
    return 0


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
