"""What others add: a package beside superalign's wheel brings one of everything, each in one file, and runs with it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installed import ROOT, Environment, build_wheel
from tests.smallest import SMALL

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parent
SOURCE = PROJECT / "superalign_example"
OF_BUILT_INS = ("attacker.candidates", "critic.retention_rows")  # settings that the plug-ins do not have
SMALLEST = [word for word in SMALL if not word.startswith(OF_BUILT_INS)]
CLASSES = {
    "attacker": "Templates",
    "critic": "Words",
    "family": "Letter",
    "judge": "Keywords",
    "learner": "SLiC",
    "method": "Softened",
    "suite": "Brevity",
    "task": "Reviews",
}
INSTALLED = {
    "attacker": "templates",
    "critic": "words",
    "family": "letter",
    "judge": "keywords",
    "learner": "slic",
    "method": "softened",
    "recipe": "short_selfplay",
    "suite": "brevity",
    "task": "reviews",
}
BY_PATH = {kind: f"mine/{kind}.py:{name}" for kind, name in CLASSES.items()} | {"recipe": "mine/recipe.py"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """superalign and the plug-ins, each from its wheel."""
    folder = tmp_path_factory.mktemp("installed")
    made = Environment.make(folder / "env")
    made.install(build_wheel(ROOT, folder / "superalign"), build_wheel(PROJECT, folder / "example"))
    return made


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """superalign alone, and a folder with the plug-ins' files."""
    folder = tmp_path_factory.mktemp("bare")
    made = Environment.make(folder / "env")
    made.install(build_wheel(ROOT, folder / "superalign"))
    (folder / "mine").mkdir()
    for path in SOURCE.glob("[!_]*.py"):
        (folder / "mine" / path.name).write_text(path.read_text())
    return made, folder


def selfplay(names: dict[str, str], family: str) -> list[str]:
    """A round in which everybody is a plug-in; `family` is the key of its settings."""
    return [
        *(f"learner={names['learner']}", "learner.tau=0.3", "learner.batch_size=4"),
        *(f"critic={names['critic']}", "critic.strength=5", f"attacker={names['attacker']}", "attacker.attempts=2"),
        *(f"evaluation.judge={names['judge']}", "judge.words=3", f"evaluation.suites={names['suite']}"),
        *(f"attacker.families=roleplay,{names['family']}", f"plugin.{family}.greeting=hello"),
        *("rounds=1", "cluster.threads=1", "model=testbed-small"),
    ]


def trained(environment: Environment, cwd: Path, name: str, *given: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary and the rows of a run."""
    environment.output("superalign", "train", f"run.name={name}", *SMALLEST, *given, cwd=cwd)
    run = cwd / "runs" / name
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "complete" and (run / "report.html").is_file()
    return summary, [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def study(names: dict[str, str]) -> list[str]:
    return [
        *("recipe=weak_to_strong", f"task={names['task']}", f"method=naive,{names['method']}"),
        *("weak=words:5", "strong=words:40", "w2s.seeds=1", "w2s.bootstrap=20", "cluster.threads=1"),
    ]


def check_round(summary: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Everybody did their part in the round."""
    assert rows[1]["judge"] == "keywords (no ground truth)"
    assert summary["metrics"]["brevity_short"]["last"]["n"] == 4
    found = rows[1]["train"]
    assert found["learner"]["pairs"] > 0 and found["learner"]["hinge"] >= 0 and found["learner"]["steps"] > 0
    assert found["critic"]["labels"] > 0
    assert set(found.get("attacker", {"scene": 1})) & {"scene", "exam", "robot", "hurry"}
    assert rows[1]["counts"]["queries"] > 0


def test_superalign_is_the_installed_one(environment: Environment, tmp_path: Path) -> None:
    code = "import superalign, superalign_example as e; print(superalign.__file__, e.__file__, sep='\\n')"
    for path in environment.output("python", "-c", code, cwd=tmp_path).split():
        assert environment.folder in Path(path).parents


def test_every_kind_of_plug_in_is_one_file_and_touches_nothing_of_superalign() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]["superalign"]
    assert {name: kind_of for kind_of, name in (key.split(".") for key in declared)} == {
        name: kind for kind, name in INSTALLED.items()
    }
    assert {path.stem for path in SOURCE.glob("[!_]*.py")} == set(INSTALLED)
    for path in SOURCE.glob("[!_]*.py"):
        assert "superalign_example" not in path.read_text(), "a plug-in needs no other file of its package"


def test_a_round_of_self_play_runs_with_plug_ins_in_every_part(environment: Environment, tmp_path: Path) -> None:
    given = selfplay(INSTALLED, "letter")
    summary, rows = trained(environment, tmp_path, "mine", "recipe=selfplay", "cluster=inline", *given)
    check_round(summary, rows)


def test_the_same_round_runs_with_files_in_processes_of_their_own(bare: tuple[Environment, Path]) -> None:
    environment, folder = bare
    given = selfplay(BY_PATH, "Letter")
    summary, rows = trained(environment, folder, "mine", "recipe=selfplay", "cluster=laptop", *given)
    check_round(summary, rows)


def test_a_recipe_is_an_entry_point_or_a_file(
    environment: Environment, bare: tuple[Environment, Path], tmp_path: Path
) -> None:
    given = ("cluster=inline", *selfplay(INSTALLED, "letter"))
    summary, rows = trained(environment, tmp_path, "short", f"recipe={INSTALLED['recipe']}", *given)
    check_round(summary, rows)
    alone, folder = bare
    given = ("cluster=inline", *selfplay(BY_PATH, "Letter"))
    of_file, rows = trained(alone, folder, "short", f"recipe={BY_PATH['recipe']}", *given)
    check_round(of_file, rows)


def test_a_task_and_a_method_are_studied(
    environment: Environment, bare: tuple[Environment, Path], tmp_path: Path
) -> None:
    summary, _ = trained(
        environment, tmp_path, "study", *study(INSTALLED), "cluster=inline", "plugin.softened.share=.3"
    )
    cells = [(cell["task"], cell["method"]) for cell in summary["results"]]
    assert cells == [("reviews", "naive"), ("reviews", "softened")]
    alone, folder = bare
    of_file, _ = trained(alone, folder, "study", *study(BY_PATH), "cluster=laptop", "plugin.Softened.share=.3")
    assert [cell["method"] for cell in of_file["results"]] == ["naive", "Softened"]
    assert [cell["weak_to_strong"] for cell in of_file["results"]] == [c["weak_to_strong"] for c in summary["results"]]


def test_the_settings_of_plug_ins_are_printed_with_the_others(environment: Environment, tmp_path: Path) -> None:
    printed = yaml.safe_load(environment.output("superalign", "config", *selfplay(INSTALLED, "letter"), cwd=tmp_path))
    assert printed["learner"]["algorithm"] == "slic" and printed["learner"]["tau"] == 0.3
    assert (
        printed["critic"]["strength"] == 5 and printed["attacker"]["attempts"] == 2 and printed["judge"]["words"] == 3
    )
    assert printed["plugin"]["letter"] == {"greeting": "hello"} and printed["plugin"]["brevity"] == {"words": 20}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["learner=slic", "learner.tau=x"], "learner.tau"),
        (["learner=slic", "learner.tau=0"], "learner.tau"),
        (["learner=slic", "learner.tua=1"], "did you mean learner.tau?"),
        (["learner=slick"], "did you mean slic?"),
        (["critic=words", "critic.members=3"], "critic.members"),
        (["attacker.families=letter", "plugin.letter.greting=hi"], "plugin.letter.greting"),
        (["critic=half.py:Half"], "critic=half.py:Half is no critic: it lacks score_pairs(pairs)"),
        (["learner=half.py:Nobody"], "half.py has no Nobody"),
        (["recipe=half.py"], "it lacks main(config)"),
    ],
)
def test_a_mistake_with_a_plug_in_is_one_line(
    environment: Environment, tmp_path: Path, given: list[str], told: str
) -> None:
    (tmp_path / "half.py").write_text(
        "class Half:\n    def __init__(self, settings, services): ...\n    def score_points(self, points): return []\n"
    )
    done = environment.run("superalign", "train", "cluster=inline", *given, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert told in line
    assert not (tmp_path / "runs").exists()
