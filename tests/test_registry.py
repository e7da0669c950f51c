"""Plug-ins by name: built in, of a module, a file or an installed package; imported late, checked when loaded."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.config.recipes import recipes
from superalign.errors import UserError
from superalign.registry import (
    ATTACKERS,
    CRITICS,
    FAMILIES,
    JUDGES,
    LEARNERS,
    METHODS,
    SUITES,
    TASKS,
    Registry,
    file_module,
    short_name,
)

REGISTRIES = {r.kind: r for r in (ATTACKERS, CRITICS, FAMILIES, JUDGES, LEARNERS, METHODS, SUITES, TASKS, recipes())}
LETTER = """
class Letter:
    def wrap(self, text, rng):
        return "dear friend, " + text
"""
Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a file; returns its path."""

    def write(code: str, name: str = "mine.py") -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(code))
        return str(tmp_path / name)

    return write


@pytest.fixture
def installed(tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with an entry point `family.letter`."""
    written(LETTER, "letters.py")
    written("Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n", "letters-1.0.dist-info/METADATA")
    written("[superalign]\nfamily.letter = letters:Letter\n", "letters-1.0.dist-info/entry_points.txt")
    monkeypatch.syspath_prepend(tmp_path)


def refusal(registry: Registry, name: str) -> str:
    """What is said of a plug-in that is refused; one line."""
    with pytest.raises(UserError) as refused:
        registry.load(name)
    (line,) = str(refused.value).splitlines()
    return line


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, r in REGISTRIES.items() for name in r.builtin])
def test_whatever_ships_can_be_loaded_and_has_a_line_that_describes_it(kind: str, name: str) -> None:
    REGISTRIES[kind].load(name)
    assert REGISTRIES[kind].names()[name]


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = """
        import sys
        from superalign.registry import LEARNERS
        LEARNERS.names()
        print(*(name for name in sys.modules if name.startswith(("superalign.", "torch", "ray"))))
    """
    found = subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True).split()
    assert {name.split(".")[1] for name in found} == {"errors", "registry"}


def test_a_plug_in_is_named_by_module_and_object(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(written(LETTER, "my_letters.py")).parent)
    assert FAMILIES.is_reference("my_letters:Letter")
    assert FAMILIES.load("my_letters:Letter")().wrap("hi", None) == "dear friend, hi"


def test_a_plug_in_is_named_by_file_and_object(written: Written) -> None:
    name = f"{written(LETTER)}:Letter"
    assert FAMILIES.is_reference(name) and short_name(name) == "Letter"
    assert FAMILIES.load(name)().wrap("hi", None) == "dear friend, hi"


def test_a_relative_path_is_found_from_where_one_is(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(written(LETTER)).parent)
    assert FAMILIES.load("mine.py:Letter")


def test_a_file_is_run_once(written: Written) -> None:
    path = written(LETTER)
    assert FAMILIES.load(f"{path}:Letter") is FAMILIES.load(f"{path}:Letter")
    assert file_module(Path(path)) is file_module(Path(path))


@pytest.mark.usefixtures("installed")
def test_a_plug_in_of_an_installed_package_is_named_by_its_entry_point() -> None:
    assert FAMILIES.is_reference("letter") and not LEARNERS.is_reference("letter")
    assert FAMILIES.names()["letter"] == "from letters:Letter"
    assert FAMILIES.load("letter")().wrap("hi", None) == "dear friend, hi"
    assert "did you mean letter?" in refusal(FAMILIES, "lettr")


def test_what_is_built_in_is_no_reference() -> None:
    assert not any(registry.is_reference(name) for registry in REGISTRIES.values() for name in registry.builtin)


def test_a_recipe_is_named_by_its_file_or_module(written: Written) -> None:
    path = written("def main(config):\n    return 7\n")
    assert recipes().load(path).main(None) == 7
    assert recipes().is_reference("recipes.selfplay") and recipes().load("recipes.selfplay").main
    assert "it lacks main(config)" in refusal(recipes(), written("def run(config): ...", "other.py"))
    assert "it has main()" in refusal(recipes(), written("def main(): ...", "third.py"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("codes", "unknown attacker.families 'codes'; did you mean code?"),
        ("codes", "or give package.module:Name or path/to/file.py:Name"),
        ("no_such_module:Letter", "cannot be imported: No module named 'no_such_module'"),
        ("no/such/file.py:Letter", "no such file: "),
        ("{mine}", "say which object of it is meant, as {mine}:Name"),
        ("{mine}:Leter", "{mine} has no Leter; did you mean Letter?"),
        ("{raises}:Letter", "cannot be imported: ZeroDivisionError: division by zero ({raises}, line 3)"),
        ("{unfinished}:Letter", "cannot be imported: SyntaxError: '(' was never closed ({unfinished}, line 2)"),
        ("{lacking}:Letter", "is no family: it lacks wrap(text, rng)"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_line(written: Written, name: str, said: str) -> None:
    files = {
        "mine": written(LETTER),
        "raises": written("\n\nx = 1 / 0\n", "raises.py"),
        "unfinished": written("\nx = (\n", "unfinished.py"),
        "lacking": written("class Letter: ...", "lacking.py"),
    }
    assert said.format(**files) in refusal(FAMILIES, name.format(**files))


CRITIC = """
    from superalign.roles.protocols import Critic

    class Mine({base}):
        def __init__(self, {made}): ...
        def score_points(self, points): ...
        {pairs}
"""


@pytest.mark.parametrize(
    ("base", "made", "pairs", "lacking"),
    [
        ("", "settings, services", "def score_pairs(self, pairs): ...", []),
        ("", "settings, services", "def score_pairs(self, pairs, more=1): ...", []),
        ("", "*arguments", "score_pairs = lambda self, *pairs: []", []),
        ("", "settings, services", "", ["score_pairs(pairs)"]),
        ("Critic", "settings, services", "", ["score_pairs(pairs)"]),
        ("", "settings, services", "score_pairs = 3", ["score_pairs(pairs)"]),
        ("", "settings, services", "def score_pairs(self): ...", ["score_pairs(pairs) (it has score_pairs(self))"]),
        (
            "",
            "settings",
            "def score_pairs(self, pairs): ...",
            ["__init__(settings, services) (it has __init__(settings))"],
        ),
    ],
)
def test_what_a_class_lacks_is_told_by_name(
    written: Written, base: str, made: str, pairs: str, lacking: list[str]
) -> None:
    mine = file_module(Path(written(CRITIC.format(base=base, made=made, pairs=pairs)))).Mine
    assert CRITICS.missing(mine) == lacking


def test_an_object_where_a_class_is_asked_for_is_told() -> None:
    class Mine:
        def score_points(self, points: object) -> None: ...

        def score_pairs(self, pairs: object) -> None: ...

    assert CRITICS.missing(Mine()) == ["__init__(settings, services) (it is no class)"]


def test_attributes_must_have_a_value_or_be_declared() -> None:
    class Silent:
        def __init__(self, settings: object, services: object) -> None: ...

        def outcomes(self, cases: object) -> None: ...

    class Declared(Silent):
        name: str
        exact = False

    assert JUDGES.missing(Silent) == ["name", "exact"]
    assert JUDGES.missing(Declared) == []


def test_what_is_called_on_the_class_must_be_a_classmethod() -> None:
    builtin = LEARNERS.load("dpo")

    class Mine(builtin):  # type: ignore[misc, valid-type]
        def trainer(self, setup: object) -> None: ...

    assert LEARNERS.missing(builtin) == []
    assert LEARNERS.missing(Mine) == ["classmethod trainer(setup) (it has trainer(self, setup))"]


WITH_SETTINGS = """
    from superalign.config.sections import Section

    class Letter:
        class Settings(Section):
            greeting: str = "dear friend"

        def __init__(self, settings):
            self.greeting = settings.greeting

        def wrap(self, text, rng):
            return f"{self.greeting}, {text}"

    FIXED = Letter(Letter.Settings(greeting="hey"))

    class Odd(Letter):
        def __init__(self, settings, tone): ...
"""


def test_a_plug_in_is_made_with_its_settings_where_it_has_some(written: Written) -> None:
    path = written(WITH_SETTINGS)
    assert FAMILIES.make(f"{path}:Letter", {}).wrap("hi", None) == "dear friend, hi"
    assert FAMILIES.make(f"{path}:Letter", {"Letter": {"greeting": "sir"}}).wrap("hi", None) == "sir, hi"
    assert FAMILIES.make(f"{path}:FIXED", {}).wrap("hi", None) == "hey, hi"
    assert FAMILIES.make(f"{written(LETTER, 'plain.py')}:Letter", {}).wrap("hi", None) == "dear friend, hi"


def test_settings_that_are_wrong_are_told_by_key(written: Written) -> None:
    path = written(WITH_SETTINGS)
    with pytest.raises(UserError, match=r"^plugin\.Letter\.greting: "):
        FAMILIES.make(f"{path}:Letter", {"Letter": {"greting": "sir"}})
    with pytest.raises(UserError, match=r"cannot be made as Odd\(settings\): it takes \(settings, tone\)"):
        FAMILIES.make(f"{path}:Odd", {})
