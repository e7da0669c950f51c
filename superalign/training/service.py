"""The training service: one frozen base for each model, and one adapter slot that all roles take turns in."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel, PrinterCallback
from trl.trainer.utils import add_fused_lm_head

from superalign.config.sections import LoraConfig
from superalign.models import device, load_base, load_chat, load_tokenizer, same_model, shortage_told
from superalign.models.hidden_states import hidden_states, pooled
from superalign.registry import LEARNERS
from superalign.training import distributed
from superalign.training.adapter_state import AdapterState
from superalign.training.algorithms.base import TrainerSetup
from superalign.training.base import Rows, SupportsSleep
from superalign.training.phases import SLOT, StepsTold, arguments, check_rows, summary, tensor_key, wrap
from superalign.training.rows import AnchorStream, mismatch_kl

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
        sleeper: what shares the accelerator and leaves its memory before every training.
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
        sleeper: SupportsSleep | None = None,
        shard: bool = False,
        micro_batch: int | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self._sleeper, self._dtype = sleeper, dtype
        self._read_only: dict[str, PreTrainedModel] = {}
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

    def train(
        self, role: str, algorithm: str, rows: Rows, phase: Any, anchors: Rows = (), seed: int = 0
    ) -> dict[str, float]:
        """One phase of training of a role, which starts from the role as it is now.

        Completions end with the stop token where ending is to be taught (`Chat.closed`).

        Args:
            role: whose adapter is trained.
            algorithm: as `learner=` names it, or `module:Class` of one that is no learner's.
            rows: prompt_ids, and what the algorithm's `rows` give beside.
            phase: as the algorithm's `phase` gives it.
            anchors: rows (prompt_ids, completion_ids) to supervise beside each step; with logprobs, to keep.
            seed: of the order of rows and anchors.

        Returns:
            The loss and every figure of the algorithm's steps: means over the last epoch; first_loss; of DPO also
            preference_loss and first_preference_loss (ln 2 for dpo and cdpo); steps, seconds; what the algorithm
            measures beside its steps.

        Raises:
            UserError: a row is longer than the context, or there is no such algorithm.
            ValueError: there are no rows, a row has an empty prompt or completion, or lacks what the loss needs.
        """
        kind = LEARNERS.find(algorithm)
        context = load_chat(self._role(role).model).context
        check_rows(role, context, "row", rows)
        check_rows(role, context, "anchor", anchors, needed=False)
        kind.check(rows, role)
        size = phase.anchor_batch if phase.anchor_weight else 0
        stream = AnchorStream(list(anchors), size, seed, phase.retained_weight)
        return self._train(role, kind, rows, phase, stream, seed)

    @shortage_told("comparing trainer and generator", LESS)
    def mismatch(self, role: str, rows: Rows) -> float:
        """KL(generator || trainer) per token (nats) on answers recorded of the role as it is now.

        Rows have prompt_ids, completion_ids, logprobs. The mean of exp(d) - 1 - d with d = log trainer - log
        generator, which is never negative (k3 of Schulman 2020); 0 of the same kernels and weights.

        Raises:
            UserError, ValueError: as `train`.
        """
        check_rows(role, load_chat(self._role(role).model).context, "row", rows)
        with self._placed(self._role(role)) as model:
            add_fused_lm_head(model.get_base_model())
            return mismatch_kl(model, rows)

    @shortage_told("reading hidden states", LESS)
    def hidden_states(
        self,
        model: str,
        prompts: Sequence[tuple[int, ...]],
        completions: Sequence[tuple[int, ...]],
        layers: Sequence[int],
        role: str | None = None,
    ) -> NDArray[np.float32]:
        """Hidden states of texts, [texts, 3, layers, width], for runs whose engine has none.

        As `superalign.generation.base.Generator.hidden_states`. Of several workers each reads its share of a batch.

        Raises:
            UserError: the model has no such layer, or a text does not fit its context.
            ValueError: the role has another model.
        """
        with self._read(model, role) as (base, run):

            def pool(*batch: torch.Tensor) -> torch.Tensor:
                ids, starts, ends = map(distributed.share, batch)
                mine = pooled(base, layers, ids, starts, ends, run)
                return distributed.whole(mine, len(batch[0]))

            return hidden_states(base, prompts, completions, layers, load_chat(model).context, pool=pool)

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
    def _train(
        self, name: str, kind: Any, rows: Rows, phase: Any, anchors: AnchorStream, seed: int
    ) -> dict[str, float]:
        begin, role = time.perf_counter(), self._role(name)
        if self._sleeper is not None:
            self._sleeper.sleep()
        for group in role.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = phase.learning_rate
        scheduler = torch.optim.lr_scheduler.LambdaLR(role.optimizer, lambda step: 1.0)
        common = {"processing_class": load_tokenizer(role.model), "optimizers": (role.optimizer, scheduler)}
        with self._placed(role) as model, tempfile.TemporaryDirectory(prefix="superalign-trainer-") as scratch:
            setup = TrainerSetup(
                rows, phase, anchors, {"model": model, **common}, arguments(scratch, phase, seed), role.extra, {}
            )
            trainer = kind.trainer(setup)
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(StepsTold)
            trainer.train()
            tensors = {key: p.detach().to("cpu", copy=True) for key, p in self._slots[role.model].items()}
            role.extra = kind.state(trainer, setup)
        role.tensors, role.version = tensors, role.version + 1
        if self._sleeper is not None:
            torch.cuda.empty_cache()  # the engine needs it when it wakes
        return summary(trainer.history, phase.epochs) | {"seconds": time.perf_counter() - begin} | setup.measured

    @contextmanager
    def _read(self, model: str, role: str | None) -> Iterator[tuple[PreTrainedModel, Any]]:
        """A model with the adapter of a role or none, and what is called to run it."""
        own = next((each for each in self._models if same_model(each, model)), None)
        if role is not None:
            if self._role(role).model != own:
                raise ValueError(f"role {role!r} is an adapter of {self._role(role).model}, not of {model}")
            with self._placed(self._role(role)) as placed:
                yield placed.get_base_model(), placed
        elif own:
            with self._models[own].disable_adapter():
                yield self._models[own].get_base_model(), self._models[own]
        else:
            if model not in self._read_only:
                self._read_only[model] = load_base(model, self._dtype).to(device())
            yield self._read_only[model], None

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
