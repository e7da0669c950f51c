"""The training service: one frozen base for each model, and one adapter slot that all roles take turns in."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback
from trl import DPOConfig, SFTConfig

from superalign.errors import UserError
from superalign.models import load_base, load_chat, load_tokenizer, resolve
from superalign.sections import LoraConfig
from superalign.training import wspo
from superalign.training.base import DPOSettings, SFTSettings
from superalign.training.dpo import NoiseAwareDPOTrainer, PairCollator, Rows
from superalign.training.sft import WeightedSFTTrainer, collate
from superalign.training.wspo import LogRatioTrainer

# TRL still asks transformers by the old name.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)

SLOT = "default"  # TRL takes its reference from the adapter of this name, whichever is active


@dataclass
class _Role:
    model: str
    tensors: dict[str, torch.Tensor]
    optimizer: torch.optim.AdamW
    version: int = 0


class TrainingService:
    """Trains one role at a time; blind to what the roles are.

    Each role keeps its tensors, its Adam state (which persists over calls) and its version. All fresh adapters of a
    model are the same, whatever was drawn before.

    Args:
        models: the model of each role.
        lora: rank and alpha of the adapters.
        threads: CPU threads of this process.
        dtype: number format of the frozen bases; adapters are always float32.

    Raises:
        UserError: a model cannot be loaded.
    """

    def __init__(self, models: dict[str, str], lora: LoraConfig, threads: int, dtype: str = "float32") -> None:
        torch.set_num_threads(threads)
        self._models: dict[str, PeftModel] = {}
        self._slots: dict[str, dict[str, torch.nn.Parameter]] = {}
        for model in sorted(set(models.values())):
            self._models[model] = _wrap(model, lora, dtype)
            named = self._models[model].named_parameters()
            self._slots[model] = {_key(name): p for name, p in named if f".{SLOT}." in name}
        self._roles = {
            role: _Role(
                model=model,
                tensors={key: p.detach().to("cpu", copy=True) for key, p in self._slots[model].items()},
                optimizer=torch.optim.AdamW(self._slots[model].values(), lr=0.0, weight_decay=0.0),
            )
            for role, model in models.items()
        }

    def dpo(self, role: str, rows: Rows, settings: DPOSettings, anchors: Rows = (), seed: int = 0) -> dict[str, float]:
        """Preference training of a role against itself as it is now.

        Rows have prompt_ids, chosen_ids, rejected_ids, q, w; anchors prompt_ids, completion_ids. Completions end with
        the stop token where ending is to be taught (`Chat.closed`).

        Returns:
            loss, preference_loss, nll, anchor (if there are any), margin and accuracy: means over the last epoch;
            first_loss, first_preference_loss (ln 2 for dpo and cdpo); steps, seconds.

        Raises:
            UserError: a row is longer than the context.
            ValueError: there are no rows, a row has an empty prompt or completion, or no pair has weight.
        """
        self._check(role, "pair", rows, ("chosen_ids", "rejected_ids"))
        self._check(role, "anchor", anchors, ("completion_ids",), needed=False)
        if not all(row["w"] > 0 for row in rows):
            raise ValueError(f"{role}: every pair needs a weight w > 0; leave out pairs without weight")
        columns = ("prompt_ids", "chosen_ids", "rejected_ids", "q", "w")
        dataset = _dataset(rows, columns)
        collator = PairCollator(list(anchors), settings.anchor_batch if settings.anchor_weight else 0, seed)

        def build(common: dict[str, Any], arguments: dict[str, Any]) -> NoiseAwareDPOTrainer:
            config = DPOConfig(**arguments, beta=settings.beta, max_length=None)
            return NoiseAwareDPOTrainer(
                settings=settings, args=config, data_collator=collator, train_dataset=dataset, **common
            )

        return self._train(role, build, settings, seed)

    def sft(self, role: str, rows: Rows, settings: SFTSettings, seed: int = 0) -> dict[str, float]:
        """Weighted supervised training of a role; rows have prompt_ids, completion_ids, weight.

        Returns:
            loss (mean over the last epoch), first_loss, steps, seconds.

        Raises:
            UserError, ValueError: as `dpo`.
        """
        self._check(role, "row", rows, ("completion_ids",))
        dataset = _dataset(rows, ("prompt_ids", "completion_ids", "weight"))

        def build(common: dict[str, Any], arguments: dict[str, Any]) -> WeightedSFTTrainer:
            config = SFTConfig(**arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
            return WeightedSFTTrainer(args=config, data_collator=collate, train_dataset=dataset, **common)

        return self._train(role, build, settings, seed)

    def match(self, role: str, rows: Rows, settings: SFTSettings, beta: float, seed: int = 0) -> dict[str, float]:
        """Match log-ratios token by token (WSPO); rows have prompt_ids, completion_ids, target (one per token, nats).

        Returns:
            As `sft`.

        Raises:
            UserError, ValueError: as `dpo`.
        """
        self._check(role, "row", rows, ("completion_ids",))
        dataset = _dataset(rows, ("prompt_ids", "completion_ids", "target"))

        def build(common: dict[str, Any], arguments: dict[str, Any]) -> LogRatioTrainer:
            config = SFTConfig(**arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
            return LogRatioTrainer(beta=beta, args=config, data_collator=wspo.collate, train_dataset=dataset, **common)

        return self._train(role, build, settings, seed)

    def adapter(self, role: str) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of the role's tensors, named as `peft.get_peft_model_state_dict` does."""
        return {key: tensor.numpy().copy() for key, tensor in self._role(role).tensors.items()}

    def version(self, role: str) -> int:
        """How many training calls this adapter has had."""
        return self._role(role).version

    def save(self, folder: Path) -> None:
        """Write one folder for each role: an adapter that plain peft loads, optimizer.pt and version.json."""
        for name, role in self._roles.items():
            target = folder / name
            target.mkdir(parents=True, exist_ok=True)
            save_file(role.tensors, target / "adapter_model.safetensors", metadata={"format": "pt"})
            self._models[role.model].peft_config[SLOT].save_pretrained(str(target))
            torch.save(role.optimizer.state_dict(), target / "optimizer.pt")
            (target / "version.json").write_text(json.dumps({"version": role.version}) + "\n")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, bit for bit.

        Raises:
            UserError: a file is missing, or the tensors belong to another model or rank; nothing is changed then.
        """
        found = {}
        for name, role in self._roles.items():
            source = folder / name
            for file in ("adapter_model.safetensors", "optimizer.pt", "version.json"):
                if not (source / file).is_file():
                    raise UserError(f"{source / file} is missing: {folder} holds no saved adapter of role {name!r}")
            tensors = load_file(source / "adapter_model.safetensors")
            if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in role.tensors.items()}:
                raise UserError(f"{source} holds an adapter of another model or rank than model={role.model}")
            state = torch.load(source / "optimizer.pt", weights_only=True)
            found[name] = tensors, state, json.loads((source / "version.json").read_text())["version"]
        for name, (tensors, state, version) in found.items():
            role = self._roles[name]
            role.tensors, role.version = tensors, version
            role.optimizer.load_state_dict(state)

    def _role(self, role: str) -> _Role:
        if role not in self._roles:
            raise ValueError(f"unknown role {role!r}; this service trains {sorted(self._roles)}")
        return self._roles[role]

    def _train(self, name: str, build: Any, settings: DPOSettings | SFTSettings, seed: int) -> dict[str, float]:
        begin = time.perf_counter()
        role = self._role(name)
        model, slot = self._models[role.model], self._slots[role.model]
        with torch.no_grad():
            for key, parameter in slot.items():
                parameter.copy_(role.tensors[key])
        for group in role.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = settings.learning_rate
        scheduler = torch.optim.lr_scheduler.LambdaLR(role.optimizer, lambda step: 1.0)
        base = model.get_base_model()
        try:
            with tempfile.TemporaryDirectory(prefix="superalign-trainer-") as scratch:
                trainer = build(
                    {
                        "model": model,
                        "processing_class": load_tokenizer(role.model),
                        "optimizers": (role.optimizer, scheduler),
                    },
                    _arguments(scratch, settings, seed),
                )
                trainer.remove_callback(PrinterCallback)
                trainer.train()
            tensors = {key: p.detach().to("cpu", copy=True) for key, p in slot.items()}
        finally:
            # TRL adds a "ref" adapter, and patches the base's forward, anew for each trainer.
            if "ref" in model.peft_config:
                model.delete_adapter("ref")
            base.__dict__.pop("forward", None)
            role.optimizer.zero_grad(set_to_none=True)
        role.tensors, role.version = tensors, role.version + 1
        history: list[dict[str, float]] = trainer.history
        return _summary(history, settings.epochs) | {"seconds": time.perf_counter() - begin}

    def _check(self, role: str, what: str, rows: Rows, completions: Sequence[str], needed: bool = True) -> None:
        if needed and not rows:
            raise ValueError(f"{role}: there is nothing to train on")
        context = load_chat(self._role(role).model).context
        for index, row in enumerate(rows):
            for name in completions:
                if not len(row["prompt_ids"]) or not len(row[name]):
                    raise ValueError(f"{role}: {what} {index} has an empty prompt_ids or {name}")
                if (length := len(row["prompt_ids"]) + len(row[name])) > context:
                    raise UserError(
                        f"{role}: {what} {index} has {length} tokens in prompt and {name}, more than the model's "
                        f"context of {context}; lower max_new_tokens or shorten the prompts"
                    )


def _wrap(model: str, lora: LoraConfig, dtype: str) -> PeftModel:
    base = load_base(model, dtype)
    path = resolve(model)
    base.config._name_or_path = str(Path(path).resolve()) if Path(path).is_dir() else path
    config = PeftLora(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base.config._name_or_path,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return get_peft_model(base, config, adapter_name=SLOT)


def _key(parameter: str) -> str:
    return parameter.replace(f".{SLOT}.", ".")


def _dataset(rows: Rows, columns: Sequence[str]) -> Dataset:
    return Dataset.from_list([{name: row[name] for name in columns} for row in rows])


def _arguments(scratch: str, settings: DPOSettings | SFTSettings, seed: int) -> dict[str, Any]:
    return {
        "output_dir": scratch,
        "per_device_train_batch_size": settings.batch_size,
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
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


def _summary(history: list[dict[str, float]], epochs: int) -> dict[str, float]:
    last = history[-max(1, len(history) // epochs) :]
    summary = {name: float(np.mean([step[name] for step in last])) for name in history[0]}
    summary |= {"first_loss": history[0]["loss"], "steps": float(len(history))}
    if "preference" in summary:
        summary["preference_loss"] = summary.pop("preference")
        summary["first_preference_loss"] = history[0]["preference"]
    return summary
