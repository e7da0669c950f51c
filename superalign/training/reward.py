"""A reward model: TRL's RewardTrainer on tokenised pairs, a scalar head and an adapter on a frozen base.

Bradley-Terry: P(chosen better) = sigma(r(chosen) - r(rejected)), loss -log of it plus `center` * (r_c + r_r)^2, which
keeps rewards near 0 (arXiv 2312.09244).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig as PeftLora
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, PrinterCallback
from transformers.utils import logging
from trl import RewardConfig as TRLRewardConfig
from trl import RewardTrainer

from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.models import chosen_dtype, device, load_chat, load_tokenizer, may_run_code, resolve
from superalign.prompts import library
from superalign.store.folder import RunFolder
from superalign.training.base import Phase
from superalign.training.phases import StepsTold, arguments, keep_in_evaluation_mode

SCORED_AT_ONCE = 64
WEIGHTS = "reward_model"  # the folder in a round of recipe=reward_model


class RewardPhase(Phase):
    """Some passes over the pairs; `center` as in the module."""

    center: float


class TokenisedRewardTrainer(RewardTrainer):
    """RewardTrainer on rows that are tokenised already (chosen_ids, rejected_ids, prompts included).

    Attributes:
        history: the loss of each step.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.history: list[float] = []
        super().__init__(**kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """As TRL's; remembers it."""
        loss = super().compute_loss(*args, **kwargs)
        self.history.append(float((loss[0] if isinstance(loss, tuple) else loss).detach()))
        return loss


class RewardModel:
    """Scores completions; trained in phases, its Adam state persists over them and is saved with the weights.

    Raises:
        UserError: the model cannot be loaded with a scalar head.
    """

    def __init__(self, model: str, lora: LoraConfig, threads: int, dtype: str = "float32") -> None:
        torch.set_num_threads(threads)
        self.model, self.chat = model, load_chat(model)
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # it would report the new head as missing from the checkpoint
        logging.disable_progress_bar()
        try:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                base = AutoModelForSequenceClassification.from_pretrained(
                    resolve(model),
                    num_labels=1,
                    dtype=getattr(torch, chosen_dtype(dtype)),
                    trust_remote_code=may_run_code(),
                )
                base.config.pad_token_id = load_tokenizer(model).pad_token_id
                adapter = PeftLora(
                    r=lora.r,
                    lora_alpha=lora.alpha,
                    target_modules="all-linear",
                    task_type="SEQ_CLS",
                    modules_to_save=["score"],
                )
                self.net = get_peft_model(base, adapter).to(device())
                keep_in_evaluation_mode(base)
        except (OSError, ValueError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"model={model} cannot carry a reward head: {first}") from None
        finally:
            logging.set_verbosity(level)
        trained = [p for p in self.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)

    def ids(self, prompt: str, response: str) -> list[int]:
        """A prompt and a finished answer to it as token ids; a long answer loses its end."""
        asked = self.chat.prompt_ids(library.respond(prompt), self.chat.context // 2)
        return [*asked, *self.chat.closed(self.chat.encode(response)[: self.chat.context - len(asked) - 1])]

    def fit(self, pairs: Sequence[tuple[str, str, str]], phase: RewardPhase, seed: int) -> dict[str, float]:
        """One phase on (prompt, chosen, rejected) texts; loss (mean over the phase), first_loss, steps."""
        rows = [{"chosen_ids": self.ids(p, good), "rejected_ids": self.ids(p, bad)} for p, good, bad in pairs]
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = phase.learning_rate
        scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0)
        with tempfile.TemporaryDirectory(prefix="superalign-reward-") as scratch:
            given = arguments(scratch, phase, seed)
            trainer = TokenisedRewardTrainer(
                model=self.net,
                args=TRLRewardConfig(**given, max_length=None, center_rewards_coefficient=phase.center or None),
                train_dataset=Dataset.from_list(rows),
                processing_class=load_tokenizer(self.model),
                optimizers=(self.optimizer, scheduler),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(StepsTold)
            trainer.train()
        self.optimizer.zero_grad(set_to_none=True)
        history = trainer.history
        return {"loss": float(np.mean(history)), "first_loss": history[0], "steps": float(len(history))}

    @torch.inference_mode()
    def rewards(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """The reward of each (prompt, response)."""
        self.net.eval()
        device = next(self.net.parameters()).device
        found: list[float] = []
        for start in range(0, len(texts), SCORED_AT_ONCE):
            rows = [self.ids(*text) for text in texts[start : start + SCORED_AT_ONCE]]
            width = max(map(len, rows))
            pad = self.net.config.pad_token_id
            ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
            found += self.net(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0].float().tolist()
        return found

    def save(self, folder: Path) -> None:
        """An adapter with its head, which plain peft loads, and the optimizer."""
        self.net.save_pretrained(str(folder))
        torch.save(self.optimizer.state_dict(), folder / "optimizer.pt")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, bit for bit."""
        set_peft_model_state_dict(self.net, load_file(folder / "adapter_model.safetensors"))
        self.optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The trained tensors, head included."""
        return dict(get_peft_model_state_dict(self.net))


class TrainedReward:
    """The reward model of a run of recipe=reward_model as its last round left it, for scoring alone.

    Raises:
        UserError: there is no such run, it has another recipe, or it has trained no round.
    """

    def __init__(self, run: str, threads: int) -> None:
        folder = RunFolder.open(run)
        config, last = folder.config(), folder.last_round()
        alike = last is not None and (folder.round_path(last) / WEIGHTS / "adapter_config.json").is_file()
        if config["recipe"] != "reward_model" and not alike:  # a copy of the recipe has another name
            raise UserError(
                f"learner.reward={run} is a run of recipe={config['recipe']}: give one of recipe=reward_model"
            )
        if not last:
            raise UserError(
                f"learner.reward={run} has no trained round yet: let superalign train recipe=reward_model end"
            )
        self.model = RewardModel(config["model"], LoraConfig(**config["lora"]), threads)
        self.model.load(folder.round_path(last) / WEIGHTS)

    def acceptable(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """sigma(reward) of each (prompt, response), in (0, 1): above 1/2 for what is better than most."""
        return [float(1 / (1 + np.exp(-reward))) for reward in self.model.rewards(texts)]
