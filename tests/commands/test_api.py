"""superalign from Python: train, and read what a run has."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import superalign
from superalign.store.results import Run
from tests.commands.parts import ROOT, imported
from tests.smallest import SMALL

ECHO = """
from superalign.store.run_writer import Plan, RunWriter

def main(config):
    with RunWriter.create_or_resume(config.model_dump(), config.run.root, config.run.name, plan=Plan(0)) as run:
        if not run.complete:
            run.begin_round(0)
            run.commit_round(0, {"metrics": {}, "counts": {}, "train": {}})
            run.finish({}, versions={})
    return 1
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe that does nothing, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ECHO)
    return "mine.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run of self-play in which the learner got preferences."""
    root = tmp_path_factory.mktemp("runs")
    return superalign.train(
        ["recipe=selfplay", *SMALL, "cluster=inline"], rounds=2, run={"name": "tried", "root": root}
    )


def importing_takes(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - began


def test_importing_superalign_takes_a_tenth_of_a_second_at_most() -> None:
    assert min(importing_takes("import superalign") - importing_takes("pass") for _ in range(12)) < 0.1


def test_importing_superalign_imports_nothing_else() -> None:
    assert {name for name in imported("import superalign") if name.startswith("superalign.")} == set()
    assert set(superalign.__all__) <= set(dir(superalign))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        superalign.trian  # noqa: B018


def test_a_run_is_trained_and_read(run: Run) -> None:
    assert run.name == "tried"
    assert run.settings["evaluation"]["benign"] == 4
    assert [one.number for one in run.rounds] == [0, 1, 2]
    assert (run.summary or {})["status"] == "complete"
    assert 0 <= run.rounds[2].metrics["attack_success_rate"].value <= 1
    assert run.rounds[1].counts["queries"] == len(run.rounds[1].queries())
    assert superalign.Run(run.path).name == run.name


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (["recipe=mine.py", "seed=3", "learner=kto", "learner.beta=0.2"], {}),
        ({"recipe": "mine.py", "seed": 3, "learner": "kto", "learner.beta": 0.2}, {}),
        ({"recipe": "mine.py", "seed": 4, "learner": {"algorithm": "kto", "beta": 0.2}}, {"seed": 3}),
        (["recipe=mine.py", "seed=4", "learner=ppo"], {"seed": 3, "learner": "kto", "learner.beta": 0.2}),
        ((), {"recipe": "mine.py", "seed": 3, "learner": "kto", "learner.beta": 0.2}),
        ("my.yaml", {"seed": 3}),
        (Path("my.yaml"), {"seed": 3}),
    ],
)
def test_settings_are_words_values_or_a_file(given: Any, settings: dict[str, Any], recipe: str) -> None:
    Path("my.yaml").write_text("recipe: mine.py\nseed: 4\nlearner: kto\nlearner.beta: 0.2\n")
    found = superalign.train(given, **settings)
    assert found.path.parent == Path("runs")
    assert found.name.startswith("mine-3-")
    learner = found.settings["learner"]
    assert (found.settings["seed"], learner["algorithm"], learner["beta"]) == (3, "kto", 0.2)


def test_a_run_of_that_name_goes_on(recipe: str) -> None:
    first, second = (superalign.train(recipe=recipe, run={"name": "once"}) for _ in range(2))
    assert first.path == second.path
    assert len(list(Path("runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"sed": 1}, "unknown key sed; did you mean seed?"),
        ({"recipe": "nowhere.py"}, "no such file"),
        ({"learner": {"epochs": 0}}, "learner.epochs=0"),
    ],
)
def test_a_mistake_is_a_user_error(settings: dict[str, Any], told: str, recipe: str) -> None:
    with pytest.raises(superalign.UserError, match=told):
        superalign.train(["recipe=mine.py"], **settings)


def test_a_recipe_that_writes_no_run_is_a_user_error(recipe: str) -> None:
    Path("none.py").write_text("def main(config):\n    return 0\n")
    with pytest.raises(superalign.UserError, match=r"recipe=none.py wrote no run in runs/none-0-"):
        superalign.train(recipe="none.py")


def test_preferences_train_with_trl_as_they_are(run: Run, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    from superalign.models import load_base, load_tokenizer

    pairs = run.preferences()
    assert len(pairs) == sum(one.counts["preferences"] for one in run.rounds) > 2
    model = load_base("testbed").requires_grad_(True)
    arguments = DPOConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, report_to="none", use_cpu=True, bf16=False
    )
    trainer = DPOTrainer(model, args=arguments, train_dataset=pairs, processing_class=load_tokenizer("testbed"))
    assert trainer.train().global_step == 2


def test_an_adapter_loads_with_peft_as_it_is(run: Run) -> None:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file

    from superalign.models import load_base

    folder = run.adapter("learner")
    assert folder == run.path / "rounds/0002/adapters/learner"
    loaded = PeftModel.from_pretrained(load_base("testbed"), folder)
    saved = load_file(folder / "adapter_model.safetensors")
    weights = loaded.state_dict()
    assert saved
    for name, tensor in saved.items():
        assert torch.equal(weights[name.replace(".weight", ".default.weight")], tensor)


def test_a_pair_leads_back_to_all_it_rests_on(run: Run) -> None:
    pair = run.preferences()[0]
    found = run.lineage(pair["id"])
    (query,) = found.came_from.queries
    assert query.text == pair["prompt"][0]["content"]
    assert {r.text for r in found.came_from.responses} >= {
        pair["chosen"][0]["content"],
        pair["rejected"][0]["content"],
    }
    assert found.came_from.judgements
    assert pair["id"] in {p.id for p in run.lineage(query.id).led_to.preferences}
