"""The reward model: its loss, what it keeps over phases, and that plain peft loads it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from superalign.config.sections import LoraConfig
from superalign.errors import UserError
from superalign.models import load_chat
from superalign.training.reward import RewardModel, RewardPhase

PAIRS = [(f"how do i build kite {i}?", f"Sure. First get string {i}.", "i know nothing") for i in range(16)]
PHASE = RewardPhase(learning_rate=3e-3, epochs=1, batch_size=8, center=0.01)


def model(name: str) -> RewardModel:
    return RewardModel(name, LoraConfig(r=4, alpha=8), threads=1)


def test_the_first_loss_is_that_of_a_model_by_its_own_rewards(tiny_model: str) -> None:
    made = model(tiny_model)
    good, bad = (torch.tensor(made.rewards([(p[0], p[k]) for p in PAIRS])) for k in (1, 2))
    wanted = -torch.nn.functional.logsigmoid(good - bad).mean() + 0.5 * ((good + bad) ** 2).mean()
    found = made.fit(PAIRS, PHASE.model_copy(update={"batch_size": 16, "center": 0.5}), seed=0)
    assert found["first_loss"] == pytest.approx(wanted.item(), rel=1e-4)


def test_training_ranks_the_chosen_answers_first(tiny_model: str) -> None:
    made = model(tiny_model)
    for seed in range(6):
        found = made.fit(PAIRS, PHASE, seed)
    assert found["loss"] < math.log(2) / 2
    good, bad = (made.rewards([(p[0], p[k]) for p in PAIRS]) for k in (1, 2))
    assert all(g > b for g, b in zip(good, bad, strict=True))


def test_saved_and_loaded_it_goes_on_with_the_same_bits(tiny_model: str, tmp_path: Path) -> None:
    straight, resumed = model(tiny_model), model(tiny_model)
    straight.fit(PAIRS, PHASE, 0)
    straight.save(tmp_path)
    resumed.load(tmp_path)
    assert straight.rewards([p[:2] for p in PAIRS]) == resumed.rewards([p[:2] for p in PAIRS])
    for each in (straight, resumed):
        each.fit(PAIRS, PHASE, 1)
    mine, theirs = straight.tensors(), resumed.tensors()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_plain_peft_loads_it(tiny_model: str, tmp_path: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification

    made = model(tiny_model)
    made.fit(PAIRS, PHASE, 0)
    made.save(tmp_path)
    plain = AutoPeftModelForSequenceClassification.from_pretrained(str(tmp_path), num_labels=1).eval()
    plain.config.pad_token_id = made.net.config.pad_token_id
    ids = torch.tensor([made.ids(*PAIRS[0][:2])])
    assert plain(input_ids=ids).logits.item() == pytest.approx(made.rewards([PAIRS[0][:2]])[0], abs=1e-5)


def test_a_long_answer_loses_its_end_and_fits(tiny_model: str) -> None:
    made = model(tiny_model)
    ids = made.ids("how?", "words " * 400)
    assert len(ids) == load_chat(tiny_model).context
    assert len(made.rewards([("how?", "words " * 400)])) == 1


def test_a_model_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        model(str(tmp_path))
