"""Self-play with every algorithm of the learner, at its smallest, resumed on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.commands.main import main
from tests.smallest import SMALL, SMALLER

SETTINGS = [*SMALL, *SMALLER[:2], "cluster=inline", "learner.samples=3", "expert.budget=8"]
MOST = {"online_dpo": "learner.max_pairs=16", "dpo": "learner.max_pairs=16"}
PHASES = {"kto": 1, "online_dpo": 2, "grpo": 2, "rloo": 2, "ppo": 2}


def train(root: Path, name: str, *more: str) -> int:
    return main(["train", "recipe=selfplay", f"run.root={root}", f"run.name={name}", *SETTINGS, *more])


def choose(learner: str) -> tuple[str, str]:
    """The algorithm on a few rows."""
    return f"learner={learner}", MOST.get(learner, "learner.max_rows=16")


def weights(run: Path, number: int) -> dict[str, bytes]:
    folder = run / "rounds" / f"{number:04d}" / "adapters" / "learner"
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix == ".safetensors"}


@pytest.mark.parametrize("learner", list(PHASES))
def test_every_algorithm_trains_its_phases_and_says_what_it_cost(learner: str, tmp_path: Path) -> None:
    # The smaller model's answers look all alike to the critic: no pair, and no group with better and worse.
    model = "testbed-small" if learner in ("kto", "ppo") else "testbed"
    enough = ("learner.samples=4", "attacker.seeds=16")
    assert train(tmp_path, "run", *choose(learner), "rounds=1", f"model={model}", *enough) == 0
    run = tmp_path / "run"
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    found = row["train"]["learner"]
    assert found["trained_tokens"] > 0
    assert (found["generated_tokens"] > 0) == (PHASES[learner] > 1)
    version = json.loads((run / "rounds" / "0001" / "adapters" / "learner" / "version.json").read_text())["version"]
    assert version == PHASES[learner]
    assert 0 <= row["train"]["generator"]["mismatch_kl"] < 1e-6


def test_ppo_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert train(tmp_path, "whole", *choose("ppo"), "rounds=2") == 0
    assert train(tmp_path, "halves", *choose("ppo"), "rounds=1") == 0
    assert train(tmp_path, "halves", *choose("ppo"), "rounds=2") == 0
    assert weights(tmp_path / "whole", 2) == weights(tmp_path / "halves", 2)


def test_a_run_whose_critic_decides_nothing_says_that_nothing_was_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undecided = ("model=testbed", "rounds=1", "critic.abstain=0.5", "expert.budget=0")
    assert train(tmp_path, "void", *undecided) == 3
    summary = json.loads((tmp_path / "void" / "summary.json").read_text())
    assert "The learner learned nothing: the critic was undecided on each of " in summary["nothing_learned"]
    assert summary["status"] == "complete"
    assert "NOTHING WAS LEARNED" in "".join(capsys.readouterr())
    assert "Nothing was learned." in (tmp_path / "void" / "report.html").read_text()


def test_a_trained_reward_model_rewards_in_the_critics_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = ("recipe=reward_model", f"run.root={tmp_path}", "run.name=reward", "rounds=1", "reward.pairs=80", *SETTINGS)
    assert main(["train", *of]) == 0
    one = ("rounds=1", *choose("ppo"))
    assert train(tmp_path, "rewarded", *one, f"learner.reward={tmp_path / 'reward'}") == 0
    assert train(tmp_path, "criticised", *one) == 0
    rewarded, criticised = (weights(tmp_path / name, 1) for name in ("rewarded", "criticised"))
    assert rewarded["adapter_model.safetensors"] != criticised["adapter_model.safetensors"]
    for given, said in ((tmp_path / "rewarded", "give one of recipe=reward_model"), (tmp_path / "no", "no run folder")):
        assert train(tmp_path, "refused", *one, f"learner.reward={given}") == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("learner=dpo", "learner.reward=run"), "learner.reward is no setting of learner=dpo: ppo, grpo, rloo have it"),
        (("learner=grpo", "learner.samples=1"), "learner.samples must be >= 2"),
        (("learner=ppo", "supervision=weak_to_strong"), "use learner=dpo or online_dpo"),
        (("learner=pp",), "did you mean ppo?"),
    ],
)
def test_what_an_algorithm_cannot_do_is_one_line(
    given: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "refused", *given) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()
