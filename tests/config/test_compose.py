"""Overrides become a Config, or one line that says what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from superalign.config.compose import load, schema_keys
from superalign.config.paths import groups
from superalign.config.schema import Config
from superalign.errors import UserError, nearest


def value(config: Config, key: str) -> Any:
    found: Any = config
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def test_without_overrides_every_value_is_the_schemas_default() -> None:
    assert load() == Config()


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in groups() for option in groups()[group]])
def test_every_option_in_conf_composes_and_describes_itself_in_one_line(group: str, option: str) -> None:
    load([f"{group}={option}"])
    assert 10 < len(groups()[group][option]) < 110


def test_conf_repeats_no_default_but_the_one_that_names_the_option() -> None:
    assert load(["cluster=inline"]) == load(["cluster.mode=inline"])


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("model=hub:Qwen/Qwen3-0.6B", "model", "hub:Qwen/Qwen3-0.6B"),
        ("attacker.model=/models/a b(1)=c", "attacker.model", "/models/a b(1)=c"),
        ("attacker.model=null", "attacker.model", None),
        ("critic.model='hub:x'", "critic.model", "hub:x"),
        ("model=C:\\weights\\", "model", "C:\\weights\\"),
        ("data.seeds=it's, fine.jsonl", "data.seeds", "it's, fine.jsonl"),
        ("run.name=007", "run.name", "007"),
        ("run.name=true", "run.name", "true"),
        ("seed=3", "seed", 3),
        ("cluster=inline", "cluster.mode", "inline"),
        ("cluster.threads=1", "cluster.threads", 1),
        ("expert.wait=true", "expert.wait", True),
        ("learner.learning_rate=1e-4", "learner.learning_rate", 1e-4),
        ("data.columns.text=prompt", "data.columns.text", "prompt"),
        ("data.columns={text: prompt, id: 'no 1'}", "data.columns.id", "no 1"),
        ("data.harmful_values=[unsafe,bad]", "data.harmful_values", ("unsafe", "bad")),
        ("critic.verdicts=shuffled", "critic.verdicts", "shuffled"),
        ("++seed=4", "seed", 4),
    ],
)
def test_an_override_means_what_it_says(override: str, key: str, expected: Any) -> None:
    assert value(load([override]), key) == expected


def test_the_last_of_two_overrides_wins() -> None:
    assert load(["seed=1", "seed=2"]).seed == 2


BAD = [
    (
        "recipe=selfpaly",
        "unknown recipe 'selfpaly'; did you mean selfplay? (there is: critic, ",
    ),
    ("cluster=inlin", "did you mean inline?"),
    ("learner=ppooo", "unknown learner 'ppooo'"),
    ("expert.budgte=3", "unknown key expert.budgte; did you mean expert.budget?"),
    ("budget=3", "unknown key budget; did you mean expert.budget?"),
    ("sed=1", "did you mean seed?"),
    ("learner.foo=1", "(learner has: algorithm, samples"),
    ("+learner.foo=1", "unknown key learner.foo"),
    ("data.colums.text=x", "unknown key data.colums.text"),
    ("hydra.run.dir=x", "unknown key hydra.run.dir"),
    ("expert.budget=-1", "expert.budget=-1: should be greater than or equal to 0"),
    ("seed=abc", "seed=abc: should be a valid integer"),
    ("seed=1.5", "seed=1.5: should be a valid integer"),
    ("seed=", "seed=: should be a valid integer"),
    ("rounds=0", "rounds=0: should be greater than 0"),
    ("rounds=null", "rounds=None: should be a valid integer"),
    ("learner.loss=hinge", "learner.loss=hinge: should be 'cdpo'"),
    ("expert={budgets: 3}", "expert.budgets"),
    ("expert.error_rate=0.5", "should be less than 0.5"),
    ("learner.beta=inf", "learner.beta=inf: should be a finite number"),
    ("attacker.fluency_floor=nan", "attacker.fluency_floor=nan: should be a finite number"),
    ("expert=strong", "expert is a section, not a value"),
    ("seed=0,1,2", "'seed=0,1,2' has several values"),
    ("seed=[1", "'seed=[1' cannot be read"),
    ("model=${nowhere}", "Interpolation key 'nowhere' not found"),
    ("selfplay", "'selfplay' is no override: write key=value"),
    ("=3", "is no override"),
    ("", "is no override"),
]


@pytest.mark.parametrize(("override", "fragment"), BAD)
def test_a_bad_override_is_refused_in_one_line(override: str, fragment: str) -> None:
    with pytest.raises(UserError) as refused:
        load([override])
    assert fragment in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_first_of_several_mistakes_is_named_and_the_others_are_counted() -> None:
    with pytest.raises(UserError, match=r"rounds=0: .* \(and 1 more like it\)"):
        load(["rounds=0", "expert.budget=-1"])


def test_a_rule_between_keys_is_told_without_the_whole_section() -> None:
    with pytest.raises(UserError) as refused:
        load(["attacker.current=0.9", "attacker.past=0.3"])
    assert str(refused.value).startswith("attacker.current + attacker.past is 1.2:")


def test_the_nearest_key_is_sought_among_the_siblings_first() -> None:
    assert nearest("critic.learning_rat", schema_keys()) == "; did you mean critic.learning_rate?"


def test_nothing_is_suggested_for_a_word_like_no_key() -> None:
    assert nearest("zzzzzz", schema_keys()) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("cluster=inline",), "use cluster=laptop"),
        (("learner=grpo",), "set learner.iterations=1 or async.max_staleness=0"),
        (("learner=rloo", "learner.iterations=1", "learner.temperature=0.7"), "set learner.temperature=1 or async"),
        (("recipe=critic",), "is for recipe=selfplay"),
        (("generator=vllm", "generator.sleep=true"), "set one of them back"),
        (("generator.sleep=true",), "generator.sleep is for generator=vllm"),
        (("async.max_stalenes=1",), "did you mean async.max_staleness?"),
        (("async.max_staleness=2",), "async.max_staleness=2: should be 0 or 1"),
    ],
)
def test_what_cannot_overlap_is_refused(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as refused:
        load(["async.max_staleness=1", *given])
    assert said in str(refused.value)


def test_a_learner_that_answers_once_a_round_overlaps_with_any_algorithm() -> None:
    for learner in ("dpo", "online_dpo", "kto", "grpo", "rloo", "ppo"):
        config = load(["async.max_staleness=1", f"learner={learner}", "learner.iterations=1"])
        assert config.ahead.max_staleness == 1 and config.model_dump()["async"] == {"max_staleness": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("cluster=inline", "cluster.learner_workers=2"), "cluster=inline is one process"),
        (("cluster.shard=true",), "set cluster.learner_workers"),
        (("recipe=reward_model", "cluster.learner_workers=2"), "recipe=reward_model trains in one process"),
        (("recipe=weak_to_strong", "cluster.learner_workers=2"), "recipe=weak_to_strong trains in one process"),
    ],
)
def test_learner_workers_are_refused_where_there_is_nothing_for_them(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(list(given))


@pytest.mark.parametrize("learner", ["kto", "grpo", "rloo", "ppo", "online_dpo"])
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_self_refinement_refuses_algorithms_that_it_does_not_learn_by(learner: str, method: str) -> None:
    with pytest.raises(UserError, match=f"refine.method={method} .*learner={learner} .* use learner=dpo"):
        load(["recipe=self_refine", f"refine.method={method}", f"learner={learner}"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("expert.votes=3", "expert.budget=2"), "expert.votes=3 answers to one item are more than expert.budget=2"),
        (("expert.source=queue", "expert.gold_share=1"), "expert.gold_share=1 leaves nothing of expert.budget=48"),
        (("expert.source=queue", "expert.gold_share=0.98", "expert.votes=3"), "nobody would be asked"),
    ],
)
def test_a_budget_that_asks_nobody_is_refused(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(list(given))
    load([*given, "expert.budget=0"])


def test_engines_of_several_models_in_a_process_do_not_sleep() -> None:
    assert load(["generator=vllm", "generator.sleep=true"]).generator.sleep
    with pytest.raises(UserError, match=r"generator\.sleep=true is for one model: 2 have an engine each"):
        load(["generator=vllm", "generator.sleep=true", "critic.model=testbed-small"])
