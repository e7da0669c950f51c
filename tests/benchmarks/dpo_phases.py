"""One phase of DPO by our training service and by a bare `trl.DPOTrainer`: the same rows, adapter, order, optimizer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from superalign.config.sections import LoraConfig
from superalign.models import device, load_tokenizer
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.phases import arguments, wrap
from superalign.training.service import TrainingService

ROLE, LORA, SEED = "learner", LoraConfig(), 3
PHASE = DPOPhase(learning_rate=5e-5, epochs=1, batch_size=8, loss="dpo", beta=0.1, nll=0.0)


class Ours:
    """Our training service, whose adapter and optimizer are fresh before each phase."""

    def __init__(self, model: str, threads: int, dtype: str) -> None:
        self._service = TrainingService({ROLE: model}, LORA, threads, dtype)
        self._folder = tempfile.TemporaryDirectory()
        self._service.save(Path(self._folder.name))

    def phase(self, pairs: list[dict[str, Any]]) -> list[float]:
        """The losses of its steps."""
        steps: list[dict[str, float]] = []
        self._service.load(Path(self._folder.name))
        with mock.patch("superalign.training.service.summary", lambda history, _: steps.extend(history) or {}):
            self._service.train(ROLE, "dpo", pairs, PHASE, seed=SEED)
        return [step["loss"] for step in steps]


class Tokenised(DPOTrainer):
    """TRL's trainer on rows that are tokenised already; `steps` has the loss of each step."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        self.steps: list[float] = []
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's."""
        loss = super().compute_loss(*args, **kwargs)
        self.steps.append(loss.item())
        return loss


class BareTRL:
    """A model with an adapter that is fresh before each phase, for `trl.DPOTrainer` as it is."""

    def __init__(self, model: str, dtype: str) -> None:
        self._policy, self._tokenizer = wrap(model, LORA, dtype).to(device()), load_tokenizer(model)
        self._fresh = {name: p.detach().clone() for name, p in self._policy.named_parameters() if p.requires_grad}

    def phase(self, pairs: list[dict[str, Any]]) -> list[float]:
        """The losses of its steps."""
        adapter = {name: p for name, p in self._policy.named_parameters() if name in self._fresh}
        with torch.no_grad():
            for name, weight in adapter.items():
                weight.copy_(self._fresh[name])
        optimizer = torch.optim.AdamW(adapter.values(), PHASE.learning_rate, weight_decay=0)
        with tempfile.TemporaryDirectory() as scratch:
            trainer = Tokenised(
                model=self._policy,
                args=DPOConfig(
                    **arguments(scratch, PHASE, SEED), loss_type=["sigmoid"], beta=PHASE.beta, max_length=None
                ),
                train_dataset=Dataset.from_list([{k: v for k, v in row.items() if k not in "qw"} for row in pairs]),
                processing_class=self._tokenizer,
                optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        self._policy.delete_adapter("ref")  # as what TRL puts in place of the forward, made anew for each trainer
        del self._policy.get_base_model().forward
        return trainer.steps
