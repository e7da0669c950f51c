"""The layers of superalign: lower ones never import higher ones, nothing goes in a circle, files are short.

Every import counts: at the top of a file, in a function, and for type checkers alone.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    *("recipes", "testing", "commands", "planning", "loop", "report", "weak_to_strong", "evaluation", "roles"),
    *(
        "generation",
        "training",
        "runtime",
        "feedback",
        "experts",
        "data",
        "testbed",
        "attacks",
        "config",
        "store",
        "prompts",
    ),
    *("stats", "models", "records", "registry", "errors"),
)
"""From top to bottom: the recipes, the packages of superalign, and its modules that everything rests on."""
FACE = "superalign/__init__.py"
"""What users import: it names what is exported, and imports it when it is asked for."""
LOOSE = {"__init__", "errors", "records", "registry"}
LONGEST = 300
WRAPPED = {"ray": "superalign/runtime/", "vllm": "superalign/generation/engine.py"}
"""Libraries that are imported in one place alone, for which the rest of the code knows an interface of ours."""

Imports = Mapping[str, frozenset[str]]
"""What each file imports, by path from the root."""


def sources(root: Path = ROOT) -> dict[str, ast.Module]:
    """The code of superalign and recipes by path."""
    files = sorted(path for folder in ("superalign", "recipes") for path in (root / folder).rglob("*.py"))
    return {str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imported(code: ast.Module, modules: Collection[str] = ()) -> Iterator[str]:
    """The module of every import; of `from package import name` package.name, where that is one of `modules`."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and node.level == 0, "imports name the whole module"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else node.module for name in names)


def imports_of(files: Mapping[str, ast.Module]) -> Imports:
    """Which of the files each of them imports."""
    known = {module_name(path): path for path in files}
    return {
        path: frozenset(known[name] for name in imported(code, known) if name in known) for path, code in files.items()
    }


def layer(path: str) -> str:
    first, second = Path(path).parts[:2]
    return first if first == "recipes" else second.removesuffix(".py")


def upward(imports: Imports) -> list[str]:
    """`LOW imports HIGH` for each import from a lower layer of a higher one."""
    rank = {name: number for number, name in enumerate(LAYERS)}
    return [
        f"{path} imports {other}"
        for path, others in sorted(imports.items())
        for other in sorted(others)
        if path != FACE and rank.get(layer(other), len(rank)) < rank.get(layer(path), len(rank))
    ]


def circles(imports: Imports) -> list[str]:
    """Files that import each other, each circle told once from one of its files."""
    found, done = [], set[str]()
    for start in sorted(imports):
        way = _way_back(start, imports)
        if way and not done.intersection(way):
            done.update(way)
            found.append(" imports ".join(way))
    return found


def _way_back(start: str, imports: Imports) -> list[str]:
    """The shortest way along imports from a file to itself; empty where there is none."""
    ways, seen = [[start]], set[str]()
    for way in ways:
        for other in sorted(imports[way[-1]]):
            if other == start:
                return [*way, start]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


@functools.cache
def ours() -> tuple[dict[str, ast.Module], Imports]:
    files = sources()
    return files, imports_of(files)


def test_every_package_has_a_layer() -> None:
    assert {layer(path) for path in ours()[0] if path != FACE} == set(LAYERS)


def test_no_file_imports_a_higher_layer() -> None:
    assert upward(ours()[1]) == []


def test_no_files_import_each_other() -> None:
    assert circles(ours()[1]) == []


def test_no_module_lies_loose_at_the_top() -> None:
    assert {path.stem for path in (ROOT / "superalign").glob("*.py")} <= LOOSE


def test_files_are_short() -> None:
    lines = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in ours()[0]}
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("library", WRAPPED)
def test_a_library_with_an_interface_of_ours_is_imported_in_one_place(library: str) -> None:
    users = {path for path, code in ours()[0].items() if library in {name.split(".")[0] for name in imported(code)}}
    assert users and {path for path in users if not path.startswith(WRAPPED[library])} == set()


def test_the_readme_of_the_tests_says_what_to_run_for_each_folder() -> None:
    rows = re.findall(r"^\| `(\w+)/`.*? \| (.*?) \|", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE)
    folders = {path.name for path in (ROOT / "superalign").iterdir() if (path / "__init__.py").is_file()}
    assert {folder for folder, _ in rows} == folders
    assert [name for _, told in rows for name in re.findall(r"`(.*?)`", told) if not (ROOT / name).exists()] == []


def checked(tmp_path: Path, **files: str) -> Imports:
    """The imports of some files of a package `superalign`; `__` in a name separates folders."""
    for name, code in files.items():
        path = tmp_path / "superalign" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return imports_of(sources(tmp_path))


@pytest.mark.parametrize(
    "code",
    [
        "from superalign.roles.critic import Critic",
        "from superalign.roles import critic",
        "import superalign.roles.critic",
        "def later():\n    from superalign.roles.critic import Critic",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from superalign.roles.critic import Critic",
    ],
)
def test_an_upward_import_is_told_with_both_files_wherever_it_stands(tmp_path: Path, code: str) -> None:
    imports = checked(tmp_path, roles__critic="class Critic: ...", stats__rates=code)
    assert upward(imports) == ["superalign/stats/rates.py imports superalign/roles/critic.py"]


def test_a_downward_import_is_fine(tmp_path: Path) -> None:
    imports = checked(tmp_path, roles__critic="from superalign.stats import rates", stats__rates="")
    assert upward(imports) == circles(imports) == []


def test_a_circle_is_told_with_its_files(tmp_path: Path) -> None:
    imports = checked(
        tmp_path,
        stats__a="from superalign.stats.b import x",
        stats__b="from superalign.stats import c",
        stats__c="def f():\n    from superalign.stats import a",
        stats__d="from superalign.stats import a",
    )
    assert circles(imports) == [" imports ".join(f"superalign/stats/{name}.py" for name in "abca")]
