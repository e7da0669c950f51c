"""A YAML file is settings; the command line wins over it; mistakes in it name file and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from superalign.config.compose import load
from superalign.config.layers import group_layer
from superalign.config.paths import conf_dir, groups, templates
from superalign.config.schema import Config
from superalign.errors import UserError
from tests.config.parts import ATTACKER, LEARNER, written


def test_a_file_holds_nested_settings_and_groups_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, "my.yaml", "learner: grpo\ncluster: inline\nseed: 3\nexpert:\n  budget: 5\n")
    config = load([file])
    assert (config.learner.algorithm, config.cluster.mode, config.seed, config.expert.budget) == (
        "grpo",
        "inline",
        3,
        5,
    )


def test_a_group_may_be_a_mapping_that_names_who_is_meant(tmp_path: Path) -> None:
    file = written(tmp_path, "my.yaml", "learner:\n  algorithm: kto\n  max_rows: 7\n")
    assert load([file]) == load(["learner=kto", "learner.max_rows=7"])


def test_a_file_names_plug_ins(tmp_path: Path) -> None:
    learner, attacker = written(tmp_path, "algo.py", LEARNER), written(tmp_path, "attacker.py", ATTACKER)
    file = written(
        tmp_path, "my.yaml", f"learner: {learner}:Mine\nattacker:\n  kind: {attacker}:Fixed\n  strength: 4\n"
    )
    config = load([file, "learner.tau=.4"])
    assert config.learner.model_dump()["tau"] == 0.4 and config.attacker.model_dump()["strength"] == 4


def test_dotted_keys_and_short_ones_mean_the_same(tmp_path: Path) -> None:
    file = written(tmp_path, "my.yaml", "learner.beta: 0.2\ndata: rows.jsonl\ntask: digits,qa\nmethod: [naive]\n")
    assert load([file]) == load(["learner.beta=0.2", "data=rows.jsonl", "task=digits,qa", "method=naive"])


def test_the_command_line_wins_over_a_file_and_a_later_file_over_an_earlier_one(tmp_path: Path) -> None:
    first = written(tmp_path, "a.yaml", "seed: 1\nrounds: 2\nlearner: kto\n")
    second = written(tmp_path, "b.yml", "rounds: 3\n")
    config = load([first, second, "seed=9", "learner=dpo"])
    assert (config.seed, config.rounds, config.learner.algorithm) == (9, 3, "dpo")


def test_an_option_in_a_file_sets_less_than_the_keys_beside_it(tmp_path: Path) -> None:
    file = written(
        tmp_path, "my.yaml", "cluster: gpu8\ngenerator:\n  engines: 2\nrecipe: redteam\nexpert:\n  budget: 1\n"
    )
    config = load([file])
    assert (config.generator.engines, config.cluster.learner_workers, config.expert.budget) == (2, 4, 1)


def test_values_may_refer_to_others(tmp_path: Path) -> None:
    file = written(tmp_path, "my.yaml", "run:\n  name: mine_${seed}_${learner.beta}\n")
    assert load([file, "seed=4"]).run.name == "mine_4_0.1"


def test_the_printed_configuration_is_a_file_of_settings(tmp_path: Path) -> None:
    config = load(["recipe=redteam", "learner=ppo", "attacker=grpo", "data.columns.text=prompt", "seed=5"])
    file = written(tmp_path, "printed.yaml", yaml.safe_dump(config.model_dump(mode="json")))
    assert load([file]) == config


def test_a_date_is_text(tmp_path: Path) -> None:
    assert load([written(tmp_path, "my.yaml", "run:\n  name: 2026-11-30\n")]).run.name == "2026-11-30"


BAD = [
    ("seed: [1", "my.yaml is no readable YAML: "),
    ("seed: 1\n\tx: 2\n", "in line 2"),
    ("- seed: 1\n", "my.yaml holds no settings"),
    ("", "my.yaml holds no settings"),
    ("1: 2\n", "my.yaml: 1 is no key of a setting"),
    ("sed: 1\n", "my.yaml: unknown key sed; did you mean seed?"),
    ("expert:\n  budgte: 1\n", "my.yaml: unknown key expert.budgte; did you mean expert.budget?"),
    ("expert: 3\n", "my.yaml: expert is a section, not a value"),
    ("expert:\n", "my.yaml: expert is a section, not a value"),
    ("expert:\n  budget: -1\n", "my.yaml: expert.budget=-1: should be greater than or equal to 0"),
    ("seed: many\n", "my.yaml: seed=many: should be a valid integer"),
    ("run:\n  name: 7\n", "my.yaml: run.name=7: should be a valid string"),
    ("learner: kot\n", "my.yaml: unknown learner 'kot'; did you mean kto?"),
    ("cluster: [inline]\n", "my.yaml: cluster is a section"),
    ("learner:\n  kl: 1\n", "my.yaml: learner.kl is no setting of learner=dpo: ppo, grpo, rloo have it"),
    ("attacker:\n  sought: true\n", "my.yaml: attacker.sought is now called attacker.intended_failures_only"),
    ("guards.planted: 0.1\n", "my.yaml: guards.planted is now called guards.synthetic_flaws"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_mistake_in_a_file_is_one_line_with_file_and_key(text: str, said: str, tmp_path: Path) -> None:
    file = written(tmp_path, "my.yaml", text)
    with pytest.raises(UserError) as refused:
        load([file])
    assert said in str(refused.value) and file in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_mistake_on_the_command_line_does_not_name_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "my.yaml", "seed: 1\n")
    with pytest.raises(UserError, match=r"^seed=x: should be"):
        load([file, "seed=x"])


def test_a_file_that_is_not_there_is_told_with_the_templates() -> None:
    with pytest.raises(UserError, match=r"^no such file: nowhere\.yaml \(templates: chat_8gpu\.yaml, "):
        load(["nowhere.yaml"])


def test_files_come_before_overrides() -> None:
    with pytest.raises(UserError, match=r"^'my\.yaml' is a file of settings: files come before all KEY=VALUE$"):
        load(["seed=1", "my.yaml"])


def test_templates_are_no_group() -> None:
    assert set(groups()) == {"attacker", "cluster", "critic", "generator", "learner", "recipe"}
    names = {"chat_cpu.yaml", "chat_gpu.yaml", "chat_8gpu.yaml", "real_cpu.yaml", "weak_to_strong_hub.yaml"}
    assert names <= set(templates())


@pytest.mark.parametrize("name", templates())
def test_each_template_loads_with_the_command_in_its_header(name: str) -> None:
    text = templates()[name].read_text(encoding="utf-8")
    command = next(line for line in text.splitlines() if line.startswith("#     superalign train "))
    words = command.removeprefix("#     superalign train ").split()
    config = load(words)
    assert words[0] == name and config.run.name == "mine"
    assert config != load([f"recipe={config.recipe}", "run.name=mine"])
    assert re.search("hub:|fetched:", " ".join([config.model, *config.strong]))


def test_templates_hold_no_default() -> None:
    for name, path in templates().items():
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        recipe, cluster = values.pop("recipe"), values.get("cluster")
        chosen = [f"recipe={recipe}", *([f"cluster={cluster}"] if isinstance(cluster, str) else [])]
        below = load(chosen).model_dump(mode="json")
        if judge := values.get("evaluation", {}).get("judge"):  # which brings a section of its own
            below["judge"] = load([*chosen, f"evaluation.judge={judge}"]).model_dump(mode="json")["judge"]
        for section, inner in values.items():
            if isinstance(inner, dict):
                default = below[section]
                same = [key for key, value in inner.items() if default[key] == value]
                assert not same, f"{name}: {section}.{same[0]} is the default"


def test_the_templates_fit_what_they_are_for() -> None:
    cpu, gpu, eight = (load([f"{name}.yaml"]) for name in ("chat_cpu", "chat_gpu", "chat_8gpu"))
    assert cpu.generator.backend == "hf" and cpu.generator.dtype == "auto"
    assert cpu.learner.max_new_tokens < gpu.learner.max_new_tokens <= eight.learner.max_new_tokens
    for config in (gpu, eight):
        assert config.generator.backend == "vllm" and config.generator.dtype == config.trainer.dtype == "bfloat16"
    assert gpu.cluster.placement == "colocated"
    assert eight.generator.engines + eight.cluster.learner_workers == 8


def test_the_template_of_the_real_demo_is_that_of_a_hub_model_on_a_cpu_with_another_model_and_data() -> None:
    demo, hub = (load([f"{name}.yaml"]).model_dump() for name in ("real_cpu", "chat_cpu"))
    own = {"model": ["fetched:smollm2"], "data": ["seeds"], "cluster": ["threads"], "expert": ["source"]}
    own |= {"trainer": ["micro_batch"], "rounds": [2]}
    assert {key for key in demo if demo[key] != hub[key]} == set(own)
    for section in ("data", "cluster", "expert", "trainer"):
        assert [key for key in demo[section] if demo[section][key] != hub[section][key]] == own[section]


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in groups() for option in groups()[group]])
def test_files_of_groups_hold_settings_that_exist(group: str, option: str) -> None:
    assert group_layer(group, option).values
    load([f"{group}={option}"])
    assert (conf_dir() / group / f"{option}.yaml").is_file()


def test_a_file_of_nothing_but_defaults_changes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, "all.yaml", yaml.safe_dump(Config().model_dump(mode="json")))
    assert load([file]) == Config()
