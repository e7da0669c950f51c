"""`superalign train`: recipes by name, file and module, and how a run is resumed."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from superalign.commands import main, resume

ECHO = "def main(config):\n    print(config.recipe, config.seed)\n    return 0\n"
WRITES_A_RUN = """
from superalign.errors import ActorLost
from superalign.store.run_writer import RunWriter

def main(config):
    with RunWriter.create_or_resume(config.model_dump(mode="json"), config.run.root, config.run.name) as run:
        for _ in range(4):
            run.begin_round(0)
        raise {}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_train_hands_the_resolved_configuration_to_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(ECHO)
    assert main.main(["train", "recipe=mine.py", "seed=7"]) == 0
    assert capsys.readouterr().out == "mine.py 7\n"


def test_a_file_of_settings_may_name_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(ECHO)
    Path("mine.yaml").write_text("recipe: mine.py\nseed: 3\n")
    assert main.main(["train", "mine.yaml"]) == 0
    assert main.main(["train", "mine.yaml", "seed=4"]) == 0
    assert capsys.readouterr().out == "mine.py 3\nmine.py 4\n"


def test_a_recipe_may_be_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    package = Path("my_recipes")
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "echo.py").write_text(ECHO)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert main.main(["train", "recipe=my_recipes.echo"]) == 0
    assert capsys.readouterr().out == "my_recipes.echo 0\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "recipe=broken.py is no recipe: it lacks main(config)"),
        ("def main():\n    return 0\n", "it lacks main(config) (it has main())"),
        ("import no_such_module\n", "cannot be imported: No module named 'no_such_module'"),
        ("x = 1 / 0\n", "line 1)"),
    ],
)
def test_what_a_recipe_lacks_is_told_by_name(text: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.py").write_text(text)
    assert main.main(["train", "recipe=broken.py"]) == 2
    printed = capsys.readouterr().err
    assert told in printed and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("g.yaml", "recipe=g.yaml: g.yaml is no recipe but a file of settings: superalign train g.yaml"),
        ("mine.txt", "recipe=mine.txt: there is no module mine.txt (there is: critic, redteam"),
        ("package.echo", "recipe=package.echo: there is no module package.echo"),
        ("here.mine", "recipe=here.mine: there is no module here.mine; did you mean here.mine.py?"),
    ],
)
def test_a_recipe_that_is_none_is_told_what_would_be_one(
    recipe: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("g.yaml").write_text("seed: 3\n")
    Path("here.mine.py").write_text(ECHO)
    assert main.main(["train", f"recipe={recipe}"]) == 2
    printed = capsys.readouterr().err
    assert told in printed and printed.count("\n") == 1


@pytest.mark.parametrize(("option", "accepts"), [(["--accept-changes"], True), ([], False)])
def test_accepting_changes_is_a_setting(option: list[str], accepts: bool, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("def main(config):\n    print(config.run.accept_changes)\n    return 0\n")
    assert main.main(["train", *option, "recipe=mine.py"]) == 0
    assert capsys.readouterr().out == f"{accepts}\n"


def test_on_a_terminal_something_is_said_before_libraries_are_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text("import sys\nprint('the recipe loads', file=sys.stderr)\n" + ECHO)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main.main(["train", "recipe=mine.py"]) == 0
    assert capsys.readouterr().err == "setting up: settings, libraries, data\nthe recipe loads\n"


def test_a_recipe_without_a_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["train", "recipe=nowhere.py"]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"), [("KeyboardInterrupt", 130), ("ActorLost('critic', 'critic died too often')", 1)]
)
@pytest.mark.parametrize("words", [["recipe=mine.py", "seed=7"], ["my settings.yaml", "seed=7"]])
def test_a_run_that_stops_says_how_to_resume_it(
    words: list[str], raised: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(WRITES_A_RUN.format(raised))
    (tmp_path / "my settings.yaml").write_text("recipe: mine.py\n")
    assert main.main(["train", *words]) == code
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("mine-7-")
    resumption = shlex.join(["superalign", "train", *words, f"run.name={made.name}"])
    assert f"with: {resumption}\n" in capsys.readouterr().err
    assert main.main(shlex.split(resumption)[1:]) == code
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [made.name]


def test_an_interrupt_before_the_first_round_says_that_there_is_nothing_to_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("def main(config):\n    raise KeyboardInterrupt\n")
    assert main.main(["train", "recipe=mine.py"]) == 130
    assert capsys.readouterr().err == "superalign: interrupted; no round was begun, nothing to resume\n"


def test_of_runs_that_processes_of_one_number_wrote_the_newest_that_can_be_read_is_to_be_resumed(
    tmp_path: Path,
) -> None:
    def how_to_resume(*words: str) -> str:
        return resume.how_to_resume(main.parser().read(["train", *words]))

    ours = json.dumps({"pid": os.getpid()})
    events = {name: tmp_path / "runs" / name / "events.jsonl" for name in ("first", "second", "damaged")}
    for name, path in events.items():
        path.parent.mkdir(parents=True)
        path.write_text(("{" if name == "damaged" else ours) + "\n")
    for newest in ("first", "second"):
        for name, path in events.items():
            os.utime(path, (1, {newest: 2, "damaged": 3}.get(name, 1)))
        assert how_to_resume().endswith(f": superalign train run.name={newest}")
    assert how_to_resume("run.name=damaged").endswith(": superalign train run.name=damaged")
    assert how_to_resume("run.name=none") == "no round was begun, nothing to resume"
