"""What every phase of training shares: the wrapped base, TRL's arguments, the summary of the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model
from transformers import TrainerCallback

from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.models import load_base, resolve
from superalign.store.progress import advance
from superalign.training.algorithms.base import COMPLETIONS
from superalign.training.base import Phase, Rows

STATE_SPACE = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
"""Kinds of models whose `out_proj` peft cannot adapt: their kernels read its weight, past the adapter."""
SLOT = "default"  # TRL takes its reference from the adapter of this name, whichever is active


def wrap(model: str, lora: LoraConfig, dtype: str) -> PeftModel:
    """The frozen base of a model under a fresh adapter in `SLOT`, the same whatever was drawn before."""
    base = load_base(model, dtype)
    path = resolve(model)
    base.config._name_or_path = str(Path(path).resolve()) if Path(path).is_dir() else path
    config = PeftLora(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        exclude_modules=["out_proj"] if base.config.model_type in STATE_SPACE else None,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base.config._name_or_path,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(base, config, adapter_name=SLOT)
    keep_in_evaluation_mode(base)
    return model


def keep_in_evaluation_mode(base: torch.nn.Module) -> None:
    """Let no trainer switch a base to training mode: log-probabilities are those of the policy that answers.

    Dropout would change them from one run of the model to the next, so that the ratio to the recorded ones is not 1 at
    the first step. It is not always a module whose rate could be set to 0: many models call the function, by a rate of
    their configuration. Routers of mixtures of experts draw noise in training mode, too.
    """
    base.eval()
    base.train = lambda mode=True: base  # type: ignore[method-assign]


def tensor_key(parameter: str) -> str:
    """A parameter's name as `peft.get_peft_model_state_dict` has it."""
    return parameter.replace(f".{SLOT}.", ".")


def arguments(scratch: str, phase: Phase, seed: int) -> dict[str, Any]:
    """TRL's arguments of a phase: no checkpoints, no reports, no progress bar."""
    return {
        "output_dir": scratch,
        "per_device_train_batch_size": phase.batch_size,
        "num_train_epochs": phase.epochs,
        "learning_rate": phase.learning_rate,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": False,
        "activation_checkpointing": False,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }


class StepsTold(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Tells how far a phase of training is."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One optimizer step more."""
        advance("steps", state.global_step, state.max_steps)


def summary(history: list[dict[str, float]], epochs: int) -> dict[str, float]:
    """Means over the steps of the last epoch, and how the phase began."""
    last = history[-max(1, len(history) // epochs) :]
    summary = {name: float(np.mean([step[name] for step in last])) for name in history[0]}
    summary |= {"first_loss": history[0]["loss"], "steps": float(len(history))}
    if "preference" in summary:
        summary["preference_loss"] = summary.pop("preference")
        summary["first_preference_loss"] = history[0]["preference"]
    return summary


def check_rows(role: str, context: int, what: str, rows: Rows, needed: bool = True) -> None:
    """Refuse rows that cannot be trained on.

    Raises:
        UserError: a row is longer than the context.
        ValueError: there are no rows, or a row has an empty prompt or completion.
    """
    if needed and not rows:
        raise ValueError(f"{role}: there is nothing to train on")
    for index, row in enumerate(rows):
        for name in (name for name in COMPLETIONS if name in row):
            if not len(row["prompt_ids"]) or not len(row[name]):
                raise ValueError(f"{role}: {what} {index} has an empty prompt_ids or {name}")
            if (length := len(row["prompt_ids"]) + len(row[name])) > context:
                raise UserError(
                    f"{role}: {what} {index} has {length} tokens in prompt and {name}, more than the model's "
                    f"context of {context}; lower max_new_tokens or shorten the prompts"
                )
