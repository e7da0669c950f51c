"""The training service: roles apart, the same bits after save and load, nothing left behind."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.training.service import TrainingService
from tests.training.phases import SFT, dpo, sft
from tests.training.tiny import LORA, demonstrations, logps, make_service, pairs, same

LN2 = math.log(2)
DPO_PHASE = dpo(learning_rate=5e-3, batch_size=4)
SFT_PHASE = sft(learning_rate=5e-3, batch_size=4, epochs=2)


def test_training_one_role_leaves_the_others_alone(tiny_model: str) -> None:
    service = make_service(tiny_model)
    fresh = service.adapter("attacker")
    assert same(fresh, service.adapter("learner"))
    service.train("learner", "dpo", pairs(), DPO_PHASE, [], seed=0)
    assert same(service.adapter("attacker"), fresh)
    assert not same(service.adapter("learner"), fresh)
    assert (service.version("attacker"), service.version("learner")) == (0, 1)


def test_a_role_trains_the_same_whether_or_not_another_was_trained_before(tiny_model: str) -> None:
    alone, after = make_service(tiny_model), make_service(tiny_model)
    after.train("attacker", SFT, demonstrations(), SFT_PHASE, seed=9)
    for service in (alone, after):
        service.train("learner", "dpo", pairs(), DPO_PHASE, [], seed=1)
        service.train("learner", "dpo", pairs(seed=2), DPO_PHASE, [], seed=2)
    assert same(alone.adapter("learner"), after.adapter("learner"))


def test_the_same_seed_trains_the_same_and_another_seed_does_not(tiny_model: str) -> None:
    services = [make_service(tiny_model) for _ in range(3)]
    for service, seed in zip(services, (1, 1, 2), strict=True):
        service.train("learner", "dpo", pairs(), DPO_PHASE, [], seed=seed)
    first, again, other = (service.adapter("learner") for service in services)
    assert same(first, again)
    assert not same(first, other)


def test_training_after_save_and_load_is_bit_equal_to_uninterrupted_training(tiny_model: str, tmp_path: Path) -> None:
    anchored = dpo(learning_rate=5e-3, batch_size=4, nll=0.05, anchor_batch=2, anchor_weight=0.5)

    def first(service: TrainingService) -> None:
        service.train("learner", "dpo", pairs(), anchored, demonstrations(seed=3), seed=1)
        service.train("attacker", SFT, demonstrations(), SFT_PHASE, seed=1)

    def second(service: TrainingService) -> None:
        service.train("learner", "dpo", pairs(seed=4), anchored, demonstrations(seed=3), seed=2)
        service.train("attacker", SFT, demonstrations(seed=4), SFT_PHASE, seed=2)

    straight, stopped, resumed = make_service(tiny_model), make_service(tiny_model), make_service(tiny_model)
    first(straight)
    second(straight)
    first(stopped)
    stopped.save(tmp_path)
    resumed.train("learner", SFT, demonstrations(seed=8), SFT_PHASE, seed=8)
    resumed.load(tmp_path)
    second(resumed)
    for role in ("attacker", "learner"):
        assert same(resumed.adapter(role), straight.adapter(role))
        assert resumed.version(role) == straight.version(role) == 2


def test_a_saved_adapter_loads_with_plain_peft_in_a_fresh_interpreter(tiny_model: str, tmp_path: Path) -> None:
    service = make_service(tiny_model)
    service.train("learner", "dpo", pairs(), DPO_PHASE, [], seed=0)
    service.save(tmp_path)
    code = (
        "import sys, torch\n"
        "from peft import AutoPeftModelForCausalLM\n"
        "model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1]).eval()\n"
        "print(model(torch.tensor([[5, 6, 7]])).logits[0, -1].log_softmax(-1)[42].item())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "learner")]
    there = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    generator = HFGenerator({"learner": tiny_model}, LORA, GeneratorConfig(), threads=1)
    generator.load_adapter("learner", service.adapter("learner"), 1)
    ((here,),) = generator.choice_logits("learner", [(5, 6, 7)], [42])
    assert float(there) == pytest.approx(here, abs=1e-4)


def test_the_served_adapter_scores_as_the_trained_one(tiny_model: str) -> None:
    service, rows = make_service(tiny_model), pairs(4)
    service.train("learner", "dpo", rows, DPO_PHASE, [], seed=0)
    expected = -logps(service, tiny_model, rows[:1], "chosen_ids") / len(rows[0]["chosen_ids"])
    again = service.train(
        "learner", SFT, [{**rows[0], "completion_ids": rows[0]["chosen_ids"], "weight": 1.0}], SFT_PHASE, seed=0
    )
    assert again["first_loss"] == pytest.approx(expected, abs=1e-4)


def test_roles_on_different_models_are_trained_apart(make_model: Callable[..., str], tmp_path: Path) -> None:
    service = TrainingService({"critic": make_model("one", seed=1), "learner": make_model("two", seed=2)}, LORA, 1)
    fresh = service.adapter("learner")
    service.train("critic", SFT, demonstrations(), SFT_PHASE, seed=0)
    assert same(service.adapter("learner"), fresh)
    service.train("learner", "dpo", pairs(), DPO_PHASE, [], seed=0)
    service.save(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["critic", "learner"]


def test_many_calls_pile_up_no_adapters_and_no_wrapped_forwards(tiny_model: str) -> None:
    service = make_service(tiny_model)
    for seed in range(3):
        service.train("learner", "dpo", pairs(4), DPO_PHASE, [], seed=seed)
        service.train("attacker", SFT, demonstrations(4), SFT_PHASE, seed=seed)
    (model,) = service._models.values()
    assert list(model.peft_config) == ["default"]
    assert "forward" not in vars(model.get_base_model())


def test_training_leaves_nothing_in_the_working_folder(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    service = make_service(tiny_model)
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    service.train("learner", "dpo", pairs(4), DPO_PHASE, [], seed=0)
    assert os.listdir() == []
    assert capfd.readouterr().out == ""


def test_rows_that_do_not_fit_the_context_are_named(tiny_model: str) -> None:
    rows = pairs(2)
    rows[1]["chosen_ids"] = [9] * 130
    with pytest.raises(UserError, match=r"learner: row 1 has 13\d tokens in prompt and chosen_ids.*context of 128"):
        make_service(tiny_model).train("learner", "dpo", rows, DPO_PHASE, [], seed=0)


def test_nothing_to_train_on_empty_completions_and_unknown_roles_are_refused(tiny_model: str) -> None:
    service = make_service(tiny_model)
    with pytest.raises(ValueError, match="nothing to train on"):
        service.train("learner", "dpo", [], DPO_PHASE, [], seed=0)
    with pytest.raises(ValueError, match="row 0 has an empty prompt_ids or completion_ids"):
        service.train("learner", SFT, [{"prompt_ids": [5], "completion_ids": [], "weight": 1.0}], SFT_PHASE, seed=0)
    with pytest.raises(ValueError, match="weight w > 0"):
        service.train("learner", "dpo", pairs(w=0.0), DPO_PHASE, [], seed=0)
    with pytest.raises(ValueError, match="unknown role 'judge'"):
        service.version("judge")


def test_loading_what_was_not_saved_or_belongs_to_another_rank_changes_nothing(tiny_model: str, tmp_path: Path) -> None:
    service = make_service(tiny_model)
    with pytest.raises(UserError, match="is missing"):
        service.load(tmp_path)
    TrainingService(dict.fromkeys(("attacker", "learner"), tiny_model), LoraConfig(r=2), 1).save(tmp_path)
    before = service.adapter("learner")
    with pytest.raises(UserError, match="another model or rank"):
        service.load(tmp_path)
    assert same(service.adapter("learner"), before)
    assert service.version("learner") == 0


class Sharing:
    """Shares the accelerator with the trainer."""

    def __init__(self) -> None:
        self.slept = 0
        self.heard: list[str] = []

    def sleep(self) -> None:
        """Count."""
        self.slept += 1
        self.heard.append("slept")


def test_what_shares_the_accelerator_is_put_to_sleep_before_every_training_and_only_then(tiny_model: str) -> None:
    sharing = Sharing()
    service = TrainingService({"critic": tiny_model}, LORA, threads=1, sleeper=sharing)
    row = {"prompt_ids": [1, 2], "completion_ids": [3, 4], "weight": 1.0}
    service.mismatch("critic", [row | {"logprobs": [-1.0, -1.0]}])
    assert sharing.slept == 0
    for times in (1, 2):
        service.train("critic", SFT, [row], sft())
        assert sharing.slept == times


def test_a_gpu_without_enough_memory_is_one_line_that_names_what_needs_less(tiny_model: str) -> None:
    class Full(Sharing):
        def sleep(self) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total")

    service = TrainingService({"critic": tiny_model}, LORA, threads=1, sleeper=Full())
    told = r"Tried to allocate 2.00 GiB\): set trainer.dtype=bfloat16 or trainer.micro_batch=1, lower batch_size"
    with pytest.raises(UserError, match=told):
        service.train("critic", SFT, [{"prompt_ids": [1, 2], "completion_ids": [3, 4], "weight": 1.0}], sft())


def test_what_training_took_of_a_shared_accelerator_is_given_back_after_it(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = Sharing()
    service = TrainingService({"critic": tiny_model}, LORA, threads=1, sleeper=sharing)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: sharing.heard.append("freed"))
    service.train("critic", SFT, [{"prompt_ids": [1, 2], "completion_ids": [3, 4], "weight": 1.0}], sft())
    assert (sharing.heard[0], sharing.heard[-1]) == ("slept", "freed")


def test_a_base_in_bfloat16_trains_adapters_of_float32_that_a_generator_serves() -> None:
    service = TrainingService({"learner": "testbed-small"}, LORA, threads=1, dtype="bfloat16")
    assert {p.dtype for p in service._models["testbed-small"].base_model.parameters() if not p.requires_grad} == {
        torch.bfloat16
    }
    row = {"prompt_ids": [9, 10, 11], "completion_ids": [12, 13, 1], "weight": 1.0}
    found = service.train("learner", SFT, [row] * 4, sft(learning_rate=5e-3, batch_size=4, epochs=8))
    assert found["loss"] < 0.7 * found["first_loss"]
    pair = {"prompt_ids": [9, 10], "chosen_ids": [12, 1], "rejected_ids": [13, 1], "q": 1.0, "w": 1.0}
    assert service.train("learner", "dpo", [pair] * 4, DPO_PHASE)["first_preference_loss"] == pytest.approx(
        LN2, abs=0.02
    )
    assert {tensor.dtype for tensor in service.adapter("learner").values()} == {np.dtype("float32")}
    generator = HFGenerator({"learner": "testbed-small"}, LORA, GeneratorConfig(dtype="bfloat16"), threads=1)
    assert generator.load_adapter("learner", service.adapter("learner"), 2) == 2
