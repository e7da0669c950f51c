"""`superalign recipe`: a list, and copies that run as they are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from superalign.commands import main
from superalign.config.compose import load
from superalign.config.paths import groups, recipe_path
from superalign.store.folder import RunFolder
from tests.smallest import SMALL, SMALLER

WITH_SETTINGS = ("redteam", "reward_model", "self_refine")
QUICK = {
    "selfplay": [*SMALL, *SMALLER],
    "redteam": [*SMALL, *SMALLER],
    "critic": [*SMALL, *SMALLER],
    "self_refine": [*SMALL, "model=testbed-small", "refine.queries=8"],
    "reward_model": [*SMALL, "model=testbed-small", "reward.pairs=80"],
    "weak_to_strong": ["task=digits", "method=naive", "w2s.seeds=1", "w2s.bootstrap=20", "cluster.threads=1"],
}
MARKS = {
    "weak_to_strong": "Performance gap recovered",
    "reward_model": "held-out pairs ranked as labelled",
    "critic": "verdicts that are right",
    "redteam": "harmful answers: fixed attacks",
}
"""What only the report of a recipe says."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_list_has_a_line_for_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["recipe", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0]: line.split(maxsplit=1)[1] for line in lines} == groups()["recipe"]


@pytest.mark.parametrize("recipe", groups()["recipe"])
def test_a_copy_has_the_code_and_the_settings_of_its_recipe(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["recipe", "copy", recipe, "my/mine.py"]) == 0
    assert Path("my/mine.py").read_text() == recipe_path(recipe).read_text()
    command = shlex.split(capsys.readouterr().out.partition("run it with: ")[2])
    settings = load(command[2:]).model_dump()
    assert settings == load([f"recipe={recipe}"]).model_dump() | {"recipe": "my/mine.py"}
    assert Path("my/mine.yaml").exists() == (recipe in WITH_SETTINGS)
    if recipe in WITH_SETTINGS:
        assert yaml.safe_load(Path("my/mine.yaml").read_text())["recipe"] == "my/mine.py"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", groups()["recipe"])
def test_a_copy_runs_as_it_is_and_is_reported_like_its_recipe(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["recipe", "copy", recipe, "mine.py"])
    command = shlex.split(capsys.readouterr().out.partition("run it with: ")[2])[1:]
    code = main.main([*command, "rounds=1", "cluster=inline", "run.name=copy", *QUICK[recipe]])
    run = RunFolder.open("copy")
    summary = run.summary()
    assert code == (3 if summary and "nothing_learned" in summary else 0)  # so short a run may teach nothing
    assert summary and (summary["recipe"], summary["status"]) == ("mine.py", "complete")
    page = run.report_path.read_text()
    assert MARKS.get(recipe, "on held-out combinations") in page


@pytest.mark.parametrize("there", ["mine.py", "mine.yaml"])
def test_nothing_is_overwritten(there: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(there).write_text("mine")
    assert main.main(["recipe", "copy", "redteam", "mine.py"]) == 2
    assert f"{there} exists" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [(there, "mine")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["selfpaly", "mine.py"], "unknown recipe 'selfpaly'; did you mean selfplay?"),
        (["selfplay", "mine"], "name it mine.py"),
        (["selfplay", "/dev/null/mine.py"], "/dev/null/mine.py cannot be written"),
    ],
)
def test_a_copy_that_cannot_be_made_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["recipe", "copy", *words]) == 2
    assert told in capsys.readouterr().err
