"""The schema: every setting is described, old names are refused, and nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from superalign.config.compose import load
from superalign.config.keys import schema_fields, schema_keys
from superalign.config.paths import groups
from superalign.config.plugins import select
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.registry import LEARNERS
from superalign.store.renamed_settings import RENAMED
from superalign.store.run_lock import check_same_settings

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "ray", "vllm", "pandas", "sklearn")


@pytest.mark.parametrize("learner", LEARNERS.builtin)
def test_every_setting_is_described(learner: str) -> None:
    selection = select({"learner": {"algorithm": learner}})
    types = schema_keys(Config, selection)
    for key, field in schema_fields(selection).items():
        if not hasattr(types[key], "model_fields"):
            assert 10 < len(field.description or "") < 200, key


def test_every_section_is_described() -> None:
    for key, annotation in schema_keys().items():
        if hasattr(annotation, "model_fields") and key != "plugin":
            assert len(annotation.__doc__ or "") > 10, key


def test_a_dumped_configuration_is_the_same_when_it_is_read() -> None:
    for words in (["recipe=selfplay", "seed=0"], *([f"{g}={o}"] for g, options in groups().items() for o in options)):
        config = load(words)
        assert Config.model_validate(config.model_dump()) == config
        assert Config.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def imported(code: str) -> set[str]:
    """The modules that a process has imported after some code."""
    told = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_configuration_imports_nothing_heavy() -> None:
    for words in ([], ["learner=ppo"], ["learner=grpo", "critic=debate", "evaluation.judge=oracle", "attacker=ppo"]):
        found = imported(f"from superalign.config.compose import load\nload({words})")
        assert not found.intersection(HEAVY)
        assert not any(name.startswith(("superalign.roles", "superalign.weak_to_strong")) for name in found)


def test_what_help_lists_imports_no_plug_in() -> None:
    found = imported(
        "from superalign.config.paths import groups\nfrom superalign import registry\n"
        "groups(); [getattr(registry, name).names() for name in ('LEARNERS', 'CRITICS', 'TASKS', 'METHODS', 'SUITES')]"
    )
    plugged = ("superalign.training", "superalign.roles", "superalign.attacks", "superalign.weak_to_strong")
    assert not any(name.startswith((*plugged, "hydra")) for name in found) and not found.intersection(HEAVY)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_refused_with_the_new_one(old: str, new: str) -> None:
    assert new in schema_keys() and old not in schema_keys()
    with pytest.raises(UserError, match=rf"^{old} is now called {new}$"):
        load([f"{old}=1"])
    section, _, key = old.partition(".")
    with pytest.raises(UserError, match=rf"^{old} is now called {new}$"):
        load([f"{section}={{{key}: 1}}"])
    with pytest.raises(UserError, match=rf"^{old} is now called {new}$"):
        Config.model_validate({section: {key: 1}})


def test_a_run_of_an_earlier_version_is_not_resumed() -> None:
    old = Config().model_dump(mode="json")
    old["attacker"]["sought"] = old["attacker"].pop("intended_failures_only")
    with pytest.raises(UserError) as refused:
        check_same_settings(old, Config().model_dump(mode="json"), Path("runs/mine"), 3)
    assert str(refused.value) == (
        "runs/mine was started by an earlier version: attacker.sought is now called attacker.intended_failures_only; "
        "resume it with that version, or choose another run.name"
    )


def test_weak_to_strong_supervision_asks_what_an_algorithm_learns_from() -> None:
    assert load(["supervision=weak_to_strong", "learner=online_dpo"]).supervision == "weak_to_strong"
    with pytest.raises(UserError, match="which learner=kto does not read: use learner=dpo or online_dpo"):
        load(["supervision=weak_to_strong", "learner=kto"])
    with pytest.raises(UserError, match=r"which learner\.loss=ropo does not read"):
        load(["supervision=weak_to_strong", "learner.loss=ropo"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["learner=grpo", "learner.samples=1"], "learner=grpo compares answers to one query"),
        (["learner=rloo", "learner.samples=1"], "learner=rloo compares answers to one query"),
        (["critic=classifier", "guards.enabled=true"], "guards take back adapters, and critic=classifier trains none"),
        (["critic=classifier", "critic.stages=2"], "critic=classifier writes no critiques"),
    ],
)
def test_rules_of_one_plug_in_are_told(given: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        load(given)
    assert str(refused.value).startswith(said)
