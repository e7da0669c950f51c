"""Sweeps: several values become one list of overrides for each run, with a name that tells what varies."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.compose import load
from superalign.config.sweep import sweep
from superalign.errors import UserError
from tests.config.parts import LEARNER, written


def values(runs: list[list[str]], key: str) -> list[str]:
    """What each run has for a key."""
    return [word.partition("=")[2] for run in runs for word in run if word.startswith(f"{key}=")]


def test_every_combination_is_a_run_the_last_key_varying_fastest() -> None:
    assert sweep(["seed=1,2", "rounds=3", "learner=dpo,kto", "run.name=mine"]) == [
        [f"seed={seed}", "rounds=3", f"learner={learner}", f"run.name=mine_seed={seed}_learner={learner}"]
        for seed in (1, 2)
        for learner in ("dpo", "kto")
    ]


def test_runs_without_a_name_are_called_by_recipe_and_time() -> None:
    names = values(sweep(["recipe=redteam", "seed=1,2"]), "run.name")
    assert all(name.startswith("redteam-") for name in names)
    assert [name.partition("_")[2] for name in names] == ["seed=1", "seed=2"]


def test_one_value_is_one_run_as_it_was_given() -> None:
    assert sweep(["seed=1", "task=digits,qa"]) == [["seed=1", "task=digits,qa"]]
    assert sweep([]) == [[]]


@pytest.mark.parametrize(
    ("given", "key", "expected"),
    [
        ("seed=range(1,4)", "seed", ["1", "2", "3"]),
        ("seed=choice(4,2)", "seed", ["4", "2"]),
        ("learner=glob(*dpo)", "learner", ["dpo", "online_dpo"]),
        ("cluster=glob(gpu*)", "cluster", ["gpu1", "gpu8"]),
        ("learner.learning_rate=1e-4,1e-3", "learner.learning_rate", ["0.0001", "0.001"]),
        ("expert.wait=true,false", "expert.wait", ["true", "false"]),
        ("w2s.epochs=null,3", "w2s.epochs", ["null", "3"]),
        ("model=hub:A/b,hub:C/d", "model", ["hub:A/b", "hub:C/d"]),
        ("model='a, b',c", "model", ["'a, b'", "c"]),
        ("task=choice(digits,qa)", "task", ["digits", "qa"]),
        ("++seed=1,2", "seed", ["1", "2"]),
    ],
)
def test_values_are_hydras(given: str, key: str, expected: list[str]) -> None:
    runs = sweep([given])
    assert values(runs, key) == expected
    assert len(set(values(runs, "run.name"))) == len(runs)


def test_what_takes_several_words_stays_one_run() -> None:
    runs = sweep(["task=digits,qa", "attacker.families=code,fiction", "seed=1,2"])
    assert [load(run).task for run in runs] == [("digits", "qa")] * 2


def test_text_with_commas_that_is_no_list_stays_as_it_is() -> None:
    assert sweep(["data.seeds=it's, fine.jsonl"]) == [["data.seeds=it's, fine.jsonl"]]


def test_files_and_plug_ins_take_part(tmp_path: Path) -> None:
    file, learner = written(tmp_path, "my.yaml", "rounds: 2\n"), written(tmp_path, "algo.py", LEARNER)
    runs = sweep([file, f"learner=dpo,{learner}:Mine", "run.name=mine"])
    assert [load(run).rounds for run in runs] == [2, 2]
    assert [load(run).learner.algorithm for run in runs] == ["dpo", f"{learner}:Mine"]
    assert values(runs, "run.name")[0] == "mine_learner=dpo"
    assert "/" not in values(runs, "run.name")[1]


def test_names_stay_short_and_apart() -> None:
    runs = sweep([f"model={'a' * 200},{'a' * 201}", "run.name=mine"])
    names = values(runs, "run.name")
    assert len(set(names)) == 2 and all(len(name) <= 200 for name in names)
    assert values(sweep(["model=a/b,a:b", "run.name=x"]), "run.name") == ["x_model=a-b", "x_model=a-b-2"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["seed=1,x"], "seed=x: should be a valid integer"),
        (["learner=dpo,kot"], "unknown learner 'kot'; did you mean kto?"),
        (["learner=dpo,kto", "learner.loss=ipo"], "learner.loss is no setting of learner=kto"),
        (["seed=interval(1,2)"], "names an interval"),
        (["seed=glob(*)"], "glob chooses options of attacker, cluster"),
        (["learner=glob(x*)"], "leaves no value"),
        (["sed=1,2"], "did you mean seed?"),
        (["seed"], "is no override"),
    ],
)
def test_a_bad_combination_is_refused_before_any_run(given: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        sweep(given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["seed=1,2", "learner=dpo,kto", "learner.beta=0.1,0.2", "seed=range(1,3)"])
def test_several_values_without_multirun_name_it(given: str) -> None:
    with pytest.raises(UserError, match=r"has several values: give one, or add --multirun for a run of each"):
        load([given])
