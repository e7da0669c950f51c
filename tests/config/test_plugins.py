"""Sections are those of the plug-in that is selected: checked, printed, stored and explained like our own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from superalign.config.compose import load, restore
from superalign.config.schema import Config
from superalign.config.sections import AdapterCriticConfig, CriticConfig, LearnerConfig, TrainedAttackerConfig
from superalign.errors import UserError
from superalign.registry import LEARNERS
from tests.config.parts import ATTACKER, CRITIC, FAMILY, JUDGE, LEARNER, written


def reloaded(config: Config) -> Config:
    """What is read of the config that a run stores."""
    return Config.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))


@pytest.mark.parametrize("name", LEARNERS.builtin)
def test_each_algorithm_has_its_own_settings(name: str) -> None:
    config = load([f"learner={name}"])
    assert type(config.learner) is LEARNERS.settings(name) and config.learner.algorithm == name
    assert reloaded(config) == config and type(reloaded(config).learner) is type(config.learner)


def test_the_default_roles_have_the_settings_of_the_built_ins() -> None:
    config = Config()
    assert type(config.attacker) is TrainedAttackerConfig and type(config.critic) is AdapterCriticConfig
    assert isinstance(config.learner, LearnerConfig) and type(config.learner) is not LearnerConfig


def test_a_section_can_be_given_as_an_object() -> None:
    own = LEARNERS.settings("kto")(algorithm="kto", max_rows=9)
    assert Config(learner=own).learner is own
    assert Config(critic=CriticConfig(abstain=0.2)).critic == AdapterCriticConfig(abstain=0.2)


def test_a_learner_in_a_file_brings_its_settings(tmp_path: Path) -> None:
    file = written(tmp_path, "algo.py", LEARNER)
    config = load([f"learner={file}:Mine", "learner.tau=.4", "learner.note=a, b", "learner.beta=0.2"])
    assert config.model_dump()["learner"] | {"tau": 0.4, "note": "a, b", "beta": 0.2} == config.model_dump()["learner"]
    assert config.learner.algorithm == f"{file}:Mine"
    assert reloaded(config) == config


def test_a_learner_in_a_module_is_named_by_module_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "somebodys_algo.py", LEARNER)
    monkeypatch.syspath_prepend(tmp_path)
    assert load(["learner=somebodys_algo:Mine", "learner.tau=.4"]).learner.model_dump()["tau"] == 0.4


def test_a_learner_of_an_installed_package_is_named_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "packaged_algo.py", LEARNER)
    folder = tmp_path / "packaged-1.0.dist-info"
    folder.mkdir()
    written(folder, "METADATA", "Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n")
    written(folder, "entry_points.txt", "[superalign]\nlearner.mine = packaged_algo:Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = load(["learner=mine", "learner.tau=.4"])
    assert config.learner.algorithm == "mine" and config.learner.model_dump()["tau"] == 0.4


def test_a_critic_an_attacker_and_a_judge_bring_theirs(tmp_path: Path) -> None:
    critic, attacker, judge = (
        written(tmp_path, name, text)
        for name, text in (("critic.py", CRITIC), ("attacker.py", ATTACKER), ("judge.py", JUDGE))
    )
    config = load(
        [
            *(f"critic={critic}:LengthCritic", "critic.words=12", f"attacker={attacker}:Fixed", "attacker.strength=2"),
            *(f"evaluation.judge={judge}:Strict", "judge.threshold=.6"),
        ]
    )
    assert config.critic.model_dump()["words"] == 12
    assert config.attacker.model_dump()["strength"] == 2
    assert config.judge.model_dump() == {"threshold": 0.6}
    assert reloaded(config) == config


def test_the_field_that_names_a_plug_in_does_as_well(tmp_path: Path) -> None:
    attacker = written(tmp_path, "attacker.py", ATTACKER)
    assert load([f"attacker.kind={attacker}:Fixed"]) == load([f"attacker={attacker}:Fixed"])


def test_families_have_settings_under_their_name(tmp_path: Path) -> None:
    file = written(tmp_path, "family.py", FAMILY)
    chosen = [f"attacker.families={file}:Shout,{file}:Whisper,roleplay"]
    assert load(chosen).plugin == {"Shout": {"marks": 1}}
    config = load([*chosen, "plugin.Shout.marks=3"])
    assert config.plugin == {"Shout": {"marks": 3}} and reloaded(config) == config


def test_a_recipe_is_a_file_or_a_module(tmp_path: Path) -> None:
    for recipe in (str(tmp_path / "mine.py"), "somebodys.recipe"):
        assert load([f"recipe={recipe}"]).recipe == recipe
    assert load([f"recipe={tmp_path}/mine.py", "async.max_staleness=1"]).ahead.max_staleness == 1


BROKEN = "import superalign\n\nraise RuntimeError('two\\nlines')\n"
BAD = [
    ("learner={learner}:Mine learner.tao=1", "unknown key learner.tao; did you mean learner.tau?"),
    ("learner={learner}:Mine learner.tau=-1", "learner.tau=-1: should be greater than 0"),
    ("learner={learner}:Mine learner.kl=1", "learner.kl is no setting of learner={learner}:Mine: ppo, grpo, rloo have"),
    ("learner={learner}:Main", "has no Main; did you mean Mine?"),
    ("learner={learner}", "say which object of it is meant"),
    ("learner=nowhere.py:Mine", "no such file"),
    ("learner=no_such_package:Mine", "learner=no_such_package:Mine cannot be imported: No module named"),
    ("learner={broken}:Mine", "RuntimeError: two lines ({broken}, line 3)"),
    ("learner={critic}:LengthCritic", "is no learner: it lacks "),
    ("learner={settings}:Mine", "its Settings must be a subclass of superalign.config.sections.Section"),
    ("critic={critic}:LengthCritic critic.wrods=1", "did you mean critic.words?"),
    ("critic={critic}:LengthCritic guards.enabled=true", "guards take back adapters, and critic={critic}:LengthCritic"),
    ("critic={critic}:LengthCritic critic.stages=2", "generative, classifier, debate, consultancy have it"),
    ("attacker={attacker}:Fixed attacker.league=true", "trained, few_shot, file have it"),
    ("attacker=grpo attacker.kind={attacker}:Fixed", "conf/attacker/grpo.yaml: attacker.algorithm is no setting of"),
    ("evaluation.judge=orcale", "unknown evaluation.judge 'orcale'; did you mean oracle?"),
    ("evaluation.judge={judge}:Strict judge.treshold=1", "did you mean judge.threshold?"),
    ("judge.threshold=1", "unknown key judge.threshold"),
    ("judge=oracle", "evaluation.judge=NAME says who judges"),
    ("evaluation.heldout_families=rolplay", "unknown evaluation.heldout_families 'rolplay'; did you mean roleplay?"),
    ("attacker.families={family}:Shout plugin.Shuot.marks=3", "plugin.Shuot is nobody's"),
    ("attacker.families={family}:Shout plugin.Shuot.marks=3", "did you mean plugin.Shout?"),
    ("attacker.families={family}:Shout plugin.Shout.mraks=3", "did you mean plugin.Shout.marks?"),
    ("attacker.families={family}:Shout plugin.Shout.marks=-1", "plugin.Shout.marks=-1: should be greater"),
    ("plugin.digits.x=1", "plugin.digits is nobody's"),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_a_mistake_with_a_plug_in_is_told_in_one_line(given: str, said: str, tmp_path: Path) -> None:
    wrong = LEARNER.replace("Settings = MineSettings", "Settings = int")
    texts = {"learner": LEARNER, "critic": CRITIC, "attacker": ATTACKER, "judge": JUDGE, "family": FAMILY}
    files = {name: written(tmp_path, f"{name}.py", text) for name, text in texts.items()}
    files |= {"broken": written(tmp_path, "broken.py", BROKEN), "settings": written(tmp_path, "settings.py", wrong)}
    with pytest.raises(UserError) as refused:
        load(given.format(**files).split())
    assert said.format(**files) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_plug_ins_whose_settings_have_one_name_are_refused(tmp_path: Path) -> None:
    first, second = (written(tmp_path, name, FAMILY) for name in ("a.py", "b.py"))
    with pytest.raises(UserError, match=r"plugin.Shout would be the settings of two plug-ins"):
        load([f"attacker.families={first}:Shout,{second}:Shout"])


def test_settings_without_a_default_must_be_given(tmp_path: Path) -> None:
    needy = LEARNER.replace('PositiveFloat = Field(0.3, description="how mine it is")', "PositiveFloat")
    file = written(tmp_path, "needy.py", needy)
    with pytest.raises(UserError, match=r"^learner\.tau must be given$"):
        load([f"learner={file}:Mine"])
    assert load([f"learner={file}:Mine", "learner.tau=1"]).learner.model_dump()["tau"] == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["learner.kl=1"], "learner.kl is no setting of learner=dpo: ppo, grpo, rloo have it"),
        (["learner=kto", "learner.loss=ipo"], "learner.loss is no setting of learner=kto: dpo, online_dpo have it"),
        (["learner.gae_lambda=1"], "learner.gae_lambda is no setting of learner=dpo: ppo has it"),
        (["learner={kl: 1}"], "learner.kl is no setting of learner=dpo"),
    ],
)
def test_a_key_of_another_algorithm_is_refused_with_whose_it_is(given: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        load(given)
    assert said in str(refused.value)


def test_a_stored_config_that_cannot_be_read_is_one_line() -> None:
    stored = Config().model_dump(mode="json")
    stored["learner"]["kl"] = 1.0
    with pytest.raises(ValidationError):
        Config.model_validate(stored)
    with pytest.raises(UserError, match=r"^runs/old: learner\.kl is no setting of learner=dpo"):
        restore(stored, "runs/old")
    assert restore(Config(seed=3).model_dump(mode="json"), "runs/old") == Config(seed=3)


def test_settings_of_a_plug_in_in_a_file_travel_to_another_process(tmp_path: Path) -> None:
    file = written(tmp_path, "algo.py", LEARNER)
    config = load([f"learner={file}:Mine", "learner.tau=.4"])
    assert pickle.loads(pickle.dumps(config)) == config
    (tmp_path / "sent").write_bytes(pickle.dumps((config, config.learner)))
    read = (
        "import pickle, sys; c, s = pickle.load(open(sys.argv[1], 'rb')); print(c.learner.tau, s.tau, c.learner == s)"
    )
    done = subprocess.run(
        [sys.executable, "-c", read, str(tmp_path / "sent")], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["0.4", "0.4", "True"], done.stderr
