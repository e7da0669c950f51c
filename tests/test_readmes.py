"""The READMEs: their commands exist and are valid, the quick ones run, links point at something, the first is short.

Commands are parsed and their settings composed; `UNTESTED` in `readme_commands.py` lists those that cannot be tested.
A code block may begin with a comment that says what it is: `# mine.py` is a file that commands below it name, and
`# critic=mine.py:Name` is a plug-in of this name, which must be one.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

import superalign
from superalign.commands.main import main
from superalign.config.compose import load
from superalign.errors import UserError
from tests.readme_commands import FILES, UNTESTED, check, complaint, filled, is_setting
from tests.readmes import (
    READMES,
    ROOT,
    Command,
    anchors,
    blocks,
    commands,
    defined,
    is_command,
    links,
    shell,
    spans,
    with_alternatives,
)

MOST_WORDS: Final = 1500
QUICK: Final = ("config", "doctor", "testbed describe", "recipe list", "recipe copy", "--help")
FILE: Final = re.compile(r"\w+\.(py|ya?ml|jsonl)")
PLUG_IN: Final = re.compile(r"(?P<setting>[\w.]+=(?:\S*,)?)(?P<file>\w+\.py)(?P<name>:\w+)?")

each_readme = pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))


def quick_commands() -> list[Command]:
    """Those of all READMEs that take a second or two."""
    every = dict.fromkeys(command for readme in READMES for command in commands(readme) if not command.inline)
    return [each for each in every if str(each).startswith(tuple(f"superalign {start}" for start in QUICK))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, with the files that READMEs speak of."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@each_readme
def test_every_command_works(readme: Path, desk: Path) -> None:
    for block in blocks(readme):
        if FILE.fullmatch(block.first_line):
            (desk / block.first_line).write_text(block.text, encoding="utf-8")
    wrong = []
    for command in commands(readme):
        try:
            check(command)
        except (Exception, SystemExit) as error:
            wrong.append(f"{command}: {type(error).__name__} {error}")
    assert not wrong, "\n".join(wrong)


@each_readme
def test_every_setting_in_a_sentence_exists(readme: Path, desk: Path) -> None:
    named = [span.removesuffix("...").split() for span in spans(readme)]
    settings = [words for words in named if words and all(map(is_setting, words))]
    every = {filled(word) for words in settings for given in with_alternatives(words) for word in given}
    wrong = [told for word in sorted(every) if (told := complaint(word))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("command", quick_commands(), ids=str)
def test_quick_commands_run(command: Command, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [filled(word) for word in command.words[1:]]
    if words[:2] == ["recipe", "copy"]:
        (desk / words[-1]).unlink()
    try:
        code = main(words)
    except SystemExit as left:  # of --help
        code = int(left.code or 0)
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out


@each_readme
def test_commands_stand_in_blocks_that_are_marked_as_shell(readme: Path) -> None:
    unmarked = [line for b in blocks(readme) if b.language != "sh" for line in b.text.splitlines() if is_command(line)]
    assert not unmarked


@each_readme
def test_every_link_points_at_something(readme: Path) -> None:
    broken = []
    for link in links(readme):
        file, _, anchor = link.partition("#")
        target = (readme.parent / file).resolve() if file else readme
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@each_readme
def test_code_uses_what_exists(readme: Path) -> None:
    for block in (block for block in blocks(readme) if block.language == "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("superalign"):
                assert {name.name for name in node.names} <= defined(str(node.module)), block.text
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "superalign":
                assert hasattr(superalign, node.attr), f"superalign.{node.attr}"


@each_readme
def test_a_plug_in_can_be_named_as_its_first_line_says(readme: Path, desk: Path) -> None:
    for number, block in enumerate(blocks(readme)):
        if found := PLUG_IN.fullmatch(block.first_line):
            file = desk / f"block{number}" / found["file"]
            file.parent.mkdir()
            file.write_text(block.text, encoding="utf-8")
            load([f"{found['setting']}{file}{found['name'] or ''}"])


def test_the_readme_is_short_and_begins_with_two_commands_that_are_run() -> None:
    readme, makefile = READMES[0], (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(readme.read_text(encoding="utf-8").split()) <= MOST_WORDS
    assert [str(command) for command in commands(readme)[:2]] == ["make demo", "make test"]
    assert re.search(r"^make test ", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    # The demo is the environment of `make test`, and the recipe that tests/e2e/test_selfplay.py runs.
    assert re.search(r"^demo: \$\(READY\).*\n\t\$\(BIN\)/superalign train recipe=selfplay ", makefile, re.MULTILINE)


def test_what_is_not_tested_is_in_some_readme() -> None:
    every = [str(command) for readme in READMES for command in commands(readme)]
    assert [start for start in UNTESTED if not any(command.startswith(start) for command in every)] == []


WRONG: Final = (
    ("superalign trian recipe=selfplay", "unknown verb 'trian'"),
    ("superalign train critic.coach=grpo", "critic.coach is now called critic.critique_algorithm"),
    ("superalign train recipe=selfplay learner.epochs=0", "learner.epochs=0: "),
    ("superalign train nowhere.yaml", "no such file: nowhere.yaml"),
    ("superalign status mine --verbose", "unrecognized arguments: --verbose"),
    ("superalign experts add-user mine", "missing: NAME"),
    ("superalign submit --job selfplay_tpus", "no job spec selfplay_tpus"),
    ("docker run superalign train recipe=selfpaly", "unknown recipe 'selfpaly'"),
    ("make dmeo", "no dmeo"),
    ('make bench BENCH_ARGS="--quickly"', "SystemExit"),
    ("python tests/benchmarks/lerners.py", "no script"),
    ("python tests/benchmarks/learners.py --processes 2", "does not take"),
    ("python tests/benchmarks/overlap.py 22 5", "does not take"),
    ("pip install 'superalign[gpu]'", "no extra gpu"),
    ("docker build -f docker/Dockerfile --target tpu .", "the Dockerfile has"),
    ("rm -rf runs", "nothing tests it"),
)


@pytest.mark.parametrize(("line", "told"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_command_is_found(line: str, told: str, desk: Path) -> None:
    (words,) = shell(line)
    with pytest.raises((AssertionError, UserError, SystemExit)) as caught:
        check(Command(words))
    assert told in f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("word", ["critic.coached", "critic.coach=dpo", "learner=dop", "learner.loss=dop", "rouns=3"])
def test_a_wrong_setting_is_found(word: str) -> None:
    assert is_setting(word)
    assert complaint(word)
