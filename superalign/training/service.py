"""The training service: one frozen base for each model, and one adapter slot that all roles take turns in."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import PrinterCallback
from trl import DPOConfig, SFTConfig
from trl.trainer.utils import add_fused_lm_head

from superalign.config.sections import LoraConfig
from superalign.models import load_chat, load_tokenizer, shortage_told
from superalign.training import distributed
from superalign.training.adapter_state import AdapterState
from superalign.training.algorithms import grpo, kto, ppo, wspo
from superalign.training.algorithms.dpo import NoiseAwareDPOTrainer, PairCollator
from superalign.training.algorithms.ppo import ValueFunction
from superalign.training.algorithms.sft import WeightedSFTTrainer, collate
from superalign.training.algorithms.wspo import LogRatioTrainer
from superalign.training.base import DPOSettings, KTOSettings, PolicySettings, Resting, SFTSettings
from superalign.training.phases import SLOT, Settings, arguments, check_rows, dataset, summary, tensor_key, wrap
from superalign.training.rows import AnchorStream, Rows, mismatch_kl

# To TRL one of several `workers` is alone.
logging.getLogger("transformers.training_args").addFilter(lambda said: "process group" not in said.getMessage())
# TRL still asks transformers by the old name.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


LESS = (
    "set trainer.dtype=bfloat16 or trainer.micro_batch=1, lower batch_size of attacker, critic and learner "
    "(w2s.batch_size), anchor_batch, max_new_tokens or lora.r, give the trainer its own GPU (cluster.placement=split), "
    "or set more cluster.learner_workers and cluster.shard=true"
)


class TrainingService:
    """Trains one role at a time; blind to what the roles are.

    Each role keeps its tensors, its Adam state (which persists over calls) and its version. All fresh adapters of a
    model are the same, whatever was drawn before.

    Made on every process of a torch.distributed group and called there alike, the services are the `workers` of one:
    all hold all roles, and what they save serves any number of workers.

    Args:
        models: the model of each role.
        lora: rank and alpha of the adapters.
        threads: CPU threads of this process.
        dtype: number format of the frozen bases; adapters are always float32.
        resting: what shares the accelerator and leaves its memory before every training.
        shard: each of several workers holds its share of the frozen bases alone.
        micro_batch: of how many rows each worker keeps the activations at once; see `parts`.

    Raises:
        UserError: a model cannot be loaded.
    """

    @shortage_told("loading the trainer's models", LESS)
    def __init__(
        self,
        models: dict[str, str],
        lora: LoraConfig,
        threads: int,
        dtype: str = "float32",
        resting: Resting | None = None,
        shard: bool = False,
        micro_batch: int | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self._resting = resting
        self._models: dict[str, PeftModel] = {}
        self._slots: dict[str, dict[str, torch.nn.Parameter]] = {}
        for model in sorted(set(models.values())):
            self._models[model] = wrap(model, lora, dtype)
            distributed.place(self._models[model], shard)
            self._models[model].micro_batch = micro_batch
            named = self._models[model].named_parameters()
            self._slots[model] = {tensor_key(name): p for name, p in named if f".{SLOT}." in name}
        self._roles = {
            role: AdapterState(
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
        collator = PairCollator(_stream(anchors, settings, seed))

        def build(common: dict[str, Any], given: dict[str, Any]) -> NoiseAwareDPOTrainer:
            config = DPOConfig(**given, beta=settings.beta, max_length=None)
            return NoiseAwareDPOTrainer(
                settings=settings, args=config, data_collator=collator, train_dataset=dataset(rows, columns), **common
            )

        return self._train(role, build, settings, seed)

    def kto(self, role: str, rows: Rows, settings: KTOSettings, anchors: Rows = (), seed: int = 0) -> dict[str, float]:
        """Training of a role on single answers; rows have prompt_ids, completion_ids, q, w.

        Returns:
            loss, kto (its part), reference_point, anchor: means over the last epoch; first_loss, steps, seconds.

        Raises:
            UserError, ValueError: as `dpo`.
        """
        self._check(role, "answer", rows, ("completion_ids",))
        self._check(role, "anchor", anchors, ("completion_ids",), needed=False)
        if not all(row["w"] > 0 for row in rows):
            raise ValueError(f"{role}: every answer needs a weight w > 0; leave out answers without weight")
        build = partial(kto.build, rows, settings, _stream(anchors, settings, seed))
        return self._train(role, build, settings, seed)

    def policy(
        self, role: str, rows: Rows, settings: PolicySettings, anchors: Rows = (), seed: int = 0
    ) -> dict[str, float]:
        """Policy gradients on recorded answers; rows have prompt_ids, completion_ids, logprobs, reward, group.

        Returns:
            loss, policy, clip_ratio, kl, anchor, and value (ppo): means over the last epoch; reward, first_loss,
            steps, seconds; of ppo also base_kl (nats per answer), kl_coefficient.

        Raises:
            UserError, ValueError: as `dpo`; a row without one log-probability for each token.
        """
        self._check(role, "answer", rows, ("completion_ids",))
        self._check(role, "anchor", anchors, ("completion_ids",), needed=False)
        for index, row in enumerate(rows):
            if len(row["logprobs"]) != len(row["completion_ids"]):
                raise ValueError(
                    f"{role}: answer {index} has {len(row['completion_ids'])} tokens and {len(row['logprobs'])} "
                    "log-probabilities; record one for each"
                )
        stream, measured = _stream(anchors, settings, seed), {"reward": float(np.mean([r["reward"] for r in rows]))}
        if settings.algorithm != "ppo":
            return self._train(role, partial(grpo.build, rows, settings, stream), settings, seed) | measured
        found = self._role(role)
        hidden = self._models[found.model].config.get_text_config().hidden_size
        found.value = found.value or ValueFunction.fresh(hidden, settings)
        measured["kl_coefficient"] = found.value.kl
        build = partial(ppo.build, rows, settings, stream, found.value, measured)
        summary = self._train(role, build, settings, seed)
        found.value.adapt(measured["base_kl"], settings.kl_target)
        return summary | measured

    def sft(self, role: str, rows: Rows, settings: SFTSettings, seed: int = 0) -> dict[str, float]:
        """Weighted supervised training of a role; rows have prompt_ids, completion_ids, weight.

        Returns:
            loss (mean over the last epoch), first_loss, steps, seconds.

        Raises:
            UserError, ValueError: as `dpo`.
        """
        self._check(role, "row", rows, ("completion_ids",))
        found = dataset(rows, ("prompt_ids", "completion_ids", "weight"))

        def build(common: dict[str, Any], given: dict[str, Any]) -> WeightedSFTTrainer:
            config = SFTConfig(**given, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
            return WeightedSFTTrainer(args=config, data_collator=collate, train_dataset=found, **common)

        return self._train(role, build, settings, seed)

    def match(self, role: str, rows: Rows, settings: SFTSettings, beta: float, seed: int = 0) -> dict[str, float]:
        """Match log-ratios token by token (WSPO); rows have prompt_ids, completion_ids, target (one per token, nats).

        Returns:
            As `sft`.

        Raises:
            UserError, ValueError: as `dpo`.
        """
        self._check(role, "row", rows, ("completion_ids",))
        found = dataset(rows, ("prompt_ids", "completion_ids", "target"))

        def build(common: dict[str, Any], given: dict[str, Any]) -> LogRatioTrainer:
            config = SFTConfig(**given, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
            return LogRatioTrainer(beta=beta, args=config, data_collator=wspo.collate, train_dataset=found, **common)

        return self._train(role, build, settings, seed)

    @shortage_told("comparing trainer and generator", LESS)
    def mismatch(self, role: str, rows: Rows) -> float:
        """KL(generator || trainer) per token (nats) on answers recorded of the role as it is now.

        Rows have prompt_ids, completion_ids, logprobs. The mean of exp(d) - 1 - d with d = log trainer - log
        generator, which is never negative (k3 of Schulman 2020); 0 of the same kernels and weights.

        Raises:
            UserError, ValueError: as `dpo`.
        """
        self._check(role, "answer", rows, ("completion_ids",))
        with self._placed(self._role(role)) as model:
            add_fused_lm_head(model.get_base_model())
            return mismatch_kl(model, rows)

    def adapter(self, role: str) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of the role's tensors, named as `peft.get_peft_model_state_dict` does."""
        return {key: tensor.numpy().copy() for key, tensor in self._role(role).tensors.items()}

    def version(self, role: str) -> int:
        """How many training calls this adapter has had."""
        return self._role(role).version

    def save(self, folder: Path) -> None:
        """Write one folder for each role: an adapter that plain peft loads, optimizer.pt and version.json."""
        if distributed.first():
            for name, role in self._roles.items():
                role.save(folder / name, self._models[role.model].peft_config[SLOT])

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, bit for bit.

        Raises:
            UserError: a file is missing, or the tensors belong to another model or rank; nothing is changed then.
        """
        found = {name: role.saved(folder / name) for name, role in self._roles.items()}
        for name, state in found.items():
            self._roles[name].restore(state)

    def _role(self, role: str) -> AdapterState:
        if role not in self._roles:
            raise ValueError(f"unknown role {role!r}; this service trains {sorted(self._roles)}")
        return self._roles[role]

    @shortage_told("training", LESS)
    def _train(self, name: str, build: Any, settings: Settings, seed: int) -> dict[str, float]:
        begin, role = time.perf_counter(), self._role(name)
        if self._resting is not None:
            self._resting.rest()
        for group in role.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = settings.learning_rate
        scheduler = torch.optim.lr_scheduler.LambdaLR(role.optimizer, lambda step: 1.0)
        common = {"processing_class": load_tokenizer(role.model), "optimizers": (role.optimizer, scheduler)}
        with self._placed(role) as model, tempfile.TemporaryDirectory(prefix="superalign-trainer-") as scratch:
            trainer = build({"model": model, **common}, arguments(scratch, settings, seed))
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            tensors = {key: p.detach().to("cpu", copy=True) for key, p in self._slots[role.model].items()}
        role.tensors, role.version = tensors, role.version + 1
        history: list[dict[str, float]] = trainer.history
        if self._resting is not None:
            torch.cuda.empty_cache()  # the engine needs it when it wakes
        return summary(history, settings.epochs) | {"seconds": time.perf_counter() - begin}

    @contextmanager
    def _placed(self, role: AdapterState) -> Iterator[PeftModel]:
        """The role's model with its adapter in the slot, and afterwards without what TRL put there."""
        model = self._models[role.model]
        with torch.no_grad():
            for key, parameter in self._slots[role.model].items():
                parameter.copy_(role.tensors[key])
        try:
            yield model
        finally:
            # TRL adds a "ref" adapter, and patches the base's forward, anew for each trainer.
            if "ref" in model.peft_config:
                model.delete_adapter("ref")
            model.get_base_model().__dict__.pop("forward", None)
            role.optimizer.zero_grad(set_to_none=True)

    def _check(self, role: str, what: str, rows: Rows, completions: Sequence[str], needed: bool = True) -> None:
        check_rows(role, load_chat(self._role(role).model).context, what, rows, completions, needed)


def _stream(anchors: Rows, settings: DPOSettings | KTOSettings | PolicySettings, seed: int) -> AnchorStream:
    return AnchorStream(list(anchors), settings.anchor_batch if settings.anchor_weight else 0, seed)
