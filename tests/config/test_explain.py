"""`config --explain`: value, meaning, type and range, default, and what set it."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.compose import compose
from superalign.config.explain import explain, explanations
from superalign.config.keys import schema_keys
from superalign.errors import UserError
from tests.config.parts import FAMILY, LEARNER, written


def test_a_key_has_a_block_of_its_own() -> None:
    assert explain(["learner.beta=0.2"], "learner.beta").splitlines() == [
        "learner.beta=0.2",
        "  meaning  strength of the pull towards the reference (arXiv 2305.18290)",
        "  type     number, above 0",
        "  default  0.1",
        "  set by   the command line",
    ]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("seed", "whole number, at least 0"),
        ("w2s.epochs", "whole number, above 0, or null"),
        ("learner.learning_rate", "number, above 0"),
        ("expert.error_rate", "number, at least 0, below 0.5"),
        ("attacker.target", "number, at least 0, at most 1, or null"),
        ("critic.critiques", "whole number, at least 2"),
        ("critic.stages", "one of 1, 2"),
        ("expert.wait", "true or false"),
        ("run.name", "text, or null"),
        ("task", "words, with commas between"),
        ("data.columns", "keys of your own"),
    ],
)
def test_type_and_range_are_told_in_words(key: str, kind: str) -> None:
    assert explanations(compose())[key].kind == kind


def test_what_set_a_value_is_told(tmp_path: Path) -> None:
    learner, family = written(tmp_path, "algo.py", LEARNER), written(tmp_path, "family.py", FAMILY)
    file = written(tmp_path, "my.yaml", "rounds: 3\nexpert:\n  budget: 2\ncluster: gpu8\n")
    given = [file, f"learner={learner}:Mine", f"attacker.families={family}:Shout", "seed=4", "data.columns.text=prompt"]
    found = {key: e.source for key, e in explanations(compose([*given, "plugin.Shout.marks=3"])).items()}
    assert found["seed"] == found["data.columns"] == found["plugin.Shout.marks"] == "the command line"
    assert found["rounds"] == found["expert.budget"] == file
    assert found["generator.engines"] == "conf/cluster/gpu8.yaml"
    assert found["critic.kind"] == "conf/critic/generative.yaml"
    assert found["learner.samples"] == found["model"] == found["critic.stages"] == "default"
    assert found["learner.tau"] == f"default of {learner}:Mine"
    assert explanations(compose(given))["plugin.Shout.marks"].source == "default of Shout"


def test_a_default_that_an_override_takes_back_is_a_default() -> None:
    assert explanations(compose(["learner=kto", "~learner"]))["learner.algorithm"].source == "default"
    assert explanations(compose(["seed=4", "~seed"]))["seed"].source == "default"


def test_all_settings_are_a_line_each() -> None:
    lines = explain().splitlines()
    keys = [key for key, annotation in schema_keys().items() if not hasattr(annotation, "model_fields")]
    assert [line.partition("=")[0] for line in lines] == keys
    assert "seed=0" in lines[1] and "default" in lines[1] and lines[1].endswith("seed of all random draws")
    assert max(map(len, explain(width=90).splitlines())) <= 90


def test_a_section_lists_its_settings_and_what_it_can_be() -> None:
    told = explain(["learner=kto"], "learner")
    assert "learner: KTO on the round's scored responses." in told
    assert "  learner=grpo" in told and "learner.max_rows=256" in told and "learner.loss" not in told


def test_a_setting_that_names_a_plug_in_lists_the_known_ones() -> None:
    assert "  evaluation.judge=frozen_critic  the critic as it was" in explain(key="evaluation.judge")
    assert "  task=chess" in explain(key="task")


def test_a_section_without_settings_says_so() -> None:
    assert explain(key="judge").endswith("\nno settings here")
    assert explain(key="plugin").startswith("plugin: plugin.NAME.KEY: settings of attack families")


def test_a_column_is_explained_by_its_mapping() -> None:
    assert explain(["data.columns.text=prompt"], "data.columns.text").startswith('data.columns={"text": "prompt"}')


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("learner.bta", "unknown key learner.bta; did you mean learner.beta?"),
        ("budget", "did you mean expert.budget?"),
        ("learner.kl", "learner.kl is no setting of learner=dpo: ppo, grpo, rloo have it"),
        ("critic.coach", "critic.coach is now called critic.critique_algorithm"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest(key: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        explain(key=key)
    assert said in str(refused.value)
