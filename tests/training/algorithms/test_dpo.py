"""DPO under label noise: its batches, its first loss, what it teaches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from superalign.models import load_tokenizer
from superalign.training.algorithms.dpo import DPOPhase, collate
from superalign.training.phases import arguments, wrap
from superalign.training.rows import AnchorStream
from tests.training.parts import WatchedService
from tests.training.phases import dpo
from tests.training.tiny import LORA, demonstrations, logps, make_service, pairs

LN2 = math.log(2)
PAIR = {"prompt_ids": [5, 6], "chosen_ids": [7], "rejected_ids": [8, 9], "q": 0.9, "w": 0.5, "number": 3}
ANCHORS = [{"prompt_ids": [10], "completion_ids": [20]}]


def test_a_batch_holds_chosen_then_rejected_then_anchors_with_the_labels_of_its_pairs() -> None:
    batch = collate([PAIR, PAIR], AnchorStream(ANCHORS, 1, seed=0))
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [5, 6, 7, 0], [5, 6, 8, 9], [5, 6, 8, 9], [10, 20, 0, 0]]
    assert batch["q"].tolist() == batch["q"].new_tensor([0.9, 0.9]).tolist()
    assert batch["w"].tolist() == [0.5, 0.5]
    assert batch["number"].tolist() == [3, 3]


@pytest.mark.parametrize("loss", ["cdpo", "dpo"])
def test_the_first_preference_loss_is_ln_2_in_every_round_of_every_role(tiny_model: str, loss: str) -> None:
    service, settings = make_service(tiny_model), dpo(loss=loss, learning_rate=5e-3, batch_size=4)
    for round_ in (1, 2):
        for role in ("attacker", "learner"):
            metrics = service.train(role, "dpo", pairs(), settings, [], seed=round_)
            assert metrics["first_preference_loss"] == pytest.approx(LN2, abs=1e-6)
            assert metrics["first_loss"] == pytest.approx(LN2, abs=1e-6)
            assert metrics["preference_loss"] != pytest.approx(LN2, abs=1e-3)
            assert metrics["steps"] == 3
            assert service.version(role) == round_


def test_soft_labels_and_weights_do_not_move_the_first_preference_loss(tiny_model: str) -> None:
    settings = dpo(batch_size=4, nll=0.5)
    metrics = make_service(tiny_model).train("learner", "dpo", pairs(q=0.7, w=0.3), settings, [], seed=0)
    assert metrics["first_preference_loss"] == pytest.approx(LN2, abs=1e-6)
    assert metrics["first_loss"] > metrics["first_preference_loss"] * 0.3


def test_preference_training_raises_the_chosen_over_the_rejected(tiny_model: str) -> None:
    service, rows = make_service(tiny_model), pairs()
    before = logps(service, tiny_model, rows, "chosen_ids") - logps(service, tiny_model, rows, "rejected_ids")
    metrics = service.train("learner", "dpo", rows, dpo(learning_rate=5e-3, batch_size=4, epochs=6), [], seed=0)
    after = logps(service, tiny_model, rows, "chosen_ids") - logps(service, tiny_model, rows, "rejected_ids")
    assert after > before + 5
    assert metrics["accuracy"] > 0.9


def test_an_anchor_keeps_its_answers_likely(tiny_model: str) -> None:
    anchors, rows = demonstrations(seed=5), pairs()
    kept, lost = make_service(tiny_model), make_service(tiny_model)
    anchored = dpo(learning_rate=5e-3, batch_size=4, epochs=4, anchor_batch=8, anchor_weight=1.0)
    metrics = kept.train("learner", "dpo", rows, anchored, anchors, seed=0)
    lost.train("learner", "dpo", rows, dpo(learning_rate=5e-3, batch_size=4, epochs=4), [], seed=0)
    assert metrics["first_preference_loss"] == pytest.approx(LN2, abs=1e-6)
    assert metrics["anchor"] > 0
    assert logps(kept, tiny_model, anchors, "completion_ids") > logps(lost, tiny_model, anchors, "completion_ids") + 3


class TRL(DPOTrainer):
    """TRL's trainer on rows that are tokenised already; `steps` has the loss of each step."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        self.steps: list[float] = []
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.steps.append(loss.item())
        return loss


def by_trl(model: str, rows: list[dict[str, Any]], phase: DPOPhase, loss: str, scratch: str) -> list[float]:
    """The losses of TRL's steps."""
    policy = wrap(model, LORA, "float32")
    optimizer = torch.optim.AdamW(
        [p for p in policy.parameters() if p.requires_grad], phase.learning_rate, weight_decay=0
    )
    trainer = TRL(
        model=policy,
        args=DPOConfig(**arguments(scratch, phase, 3), loss_type=[loss], beta=phase.beta, max_length=None),
        train_dataset=Dataset.from_list([{k: v for k, v in row.items() if k not in "qw"} for row in rows]),
        processing_class=load_tokenizer(model),
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
    )
    trainer.train()
    return trainer.steps


@pytest.mark.parametrize(("loss", "theirs"), [("ipo", "ipo"), ("dpo", "sigmoid")])
def test_the_losses_of_every_step_are_those_of_trl(tiny_model: str, loss: str, theirs: str, tmp_path: Path) -> None:
    """On responses of many lengths: IPO's log-ratios are per token."""
    rows, phase = pairs(24), dpo(loss=loss, beta=0.2, learning_rate=5e-3, batch_size=4)
    ours = WatchedService(("learner",), model=tiny_model)
    ours._roles["learner"].optimizer.param_groups[0]["eps"] = 1e-8  # AdamW's own
    found = ours.losses("dpo", "learner", rows, phase, [], 3)
    assert len(found) == 6
    assert found == pytest.approx(by_trl(tiny_model, rows, phase, theirs, str(tmp_path)), rel=1e-4)


@pytest.mark.parametrize("loss", ["rdpo", "ropo", "drdpo", "ipo"])
def test_every_loss_trains(tiny_model: str, loss: str) -> None:
    metrics = make_service(tiny_model).train("learner", "dpo", pairs(q=0.9), dpo(loss=loss, batch_size=4), [], seed=0)
    assert math.isfinite(metrics["loss"])
