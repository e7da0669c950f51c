"""What the READMEs of the project say: their links, code blocks, commands and settings."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("conf", "docker", "recipes", "superalign", "tests")
READMES = [ROOT / "README.md", *sorted(path for name in FOLDERS for path in (ROOT / name).rglob("README.md"))]
PROGRAMS = ("superalign", "make", "python", "pip", "docker", "docker/build.sh", "ray", ".ci/run")
FENCE = re.compile(r"^ *```(\w*).*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SEPARATORS = frozenset({"&&", "||", ";", "|", "&"})


@dataclass(frozen=True)
class Block:
    """A code block and the language that it is marked with."""

    language: str
    text: str

    @property
    def first_line(self) -> str:
        """A comment there names what the code is for."""
        return self.text.split("\n", 1)[0].removeprefix("# ").strip()


@dataclass(frozen=True)
class Command:
    """A command; `inline` where it stands in a sentence, which may leave its arguments out."""

    words: tuple[str, ...]
    inline: bool = False

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(readme: Path) -> list[Block]:
    """Every code block of a README."""
    return [Block(*found.groups()) for found in FENCE.finditer(readme.read_text(encoding="utf-8"))]


def spans(readme: Path) -> list[str]:
    """Every piece of code in a sentence or table, with the breaks of lines in it as spaces."""
    prose = FENCE.sub("", readme.read_text(encoding="utf-8"))
    paragraphs = re.split(r"\n\s*\n|\n(?=\|)|\n(?=- )", prose)
    return [" ".join(found.split()) for part in paragraphs for found in SPAN.findall(part)]


def links(readme: Path) -> list[str]:
    """What a README links to inside the project."""
    prose = FENCE.sub("", readme.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(prose) if not re.match(r"[a-z]+:", link)]


def anchors(readme: Path) -> set[str]:
    """The names under which GitHub lets one link to the headings of a README."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", readme.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(readme: Path) -> list[Command]:
    """Every command of a README, those of its code blocks first."""
    found = [Command(words) for block in blocks(readme) if block.language == "sh" for words in shell(block.text)]
    for span in spans(readme):
        words = span.removesuffix("...").split()
        if words and words[0] in PROGRAMS and (len(words) > 1 or words[0] == ".ci/run"):
            found += [Command(each, inline=True) for each in shell(span.removesuffix("..."))]
    return list(dict.fromkeys(found))


def shell(text: str) -> Iterator[tuple[str, ...]]:
    """The commands of a shell script of simple lines, without comments, redirections and settings of variables."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word in SEPARATORS:
                if command:
                    yield tuple(command)
                command = []
            elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
                command.append(word)


def is_command(line: str) -> bool:
    """Whether a line of a code block is one to type."""
    return line.strip().split(" ", 1)[0] in PROGRAMS and " " in line.strip()


def defined(module: str) -> set[str]:
    """The names at the top of a module, read from its source: importing some of them takes many seconds."""
    source = importlib.util.find_spec(module)
    assert source is not None and source.origin is not None, f"no module {module}"
    names: set[str] = set()
    for node in ast.parse(Path(source.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        names |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return names


def script_parser(script: Path) -> argparse.ArgumentParser:
    """The command line of a script, read from its source: importing most of them takes seconds.

    Of a script without argparse, what the first usage line of its docstring shows: `[NAME]` once, `[NAME ...]` often.
    """
    source = script.read_text(encoding="utf-8")
    tree, parser = ast.parse(source), argparse.ArgumentParser(exit_on_error=False)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    for call in (call for call in calls if call.func.attr == "add_argument"):  # type: ignore[attr-defined]
        names = [str(ast.literal_eval(arg)) for arg in call.args]
        parser.add_argument(*names, **dict(_keyword(k) for k in call.keywords if _keyword(k) is not None))  # type: ignore[misc]
    if not any(isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument" for call in calls):
        usage = re.search(rf"python \S*{re.escape(script.name)}(.*)", ast.get_docstring(tree) or "")
        shown = re.findall(r"\[([^\]]+)\]", usage[1] if usage else "")
        for number, name in enumerate(shown):
            parser.add_argument(f"argument{number}", nargs="*" if name.endswith("...") else "?")
    return parser


def _keyword(keyword: ast.keyword) -> tuple[str, Any] | None:
    """A keyword of `add_argument` that matters to what may be typed; None for all others."""
    types = {"int": int, "float": float, "str": str, "Path": Path}
    if keyword.arg == "type" and isinstance(keyword.value, ast.Name):
        return "type", types.get(keyword.value.id, str)
    if keyword.arg in ("action", "nargs", "choices"):
        try:
            return keyword.arg, ast.literal_eval(keyword.value)
        except ValueError:
            return None
    return None


def with_alternatives(words: Sequence[str]) -> Iterator[list[str]]:
    """`learner=dpo|kto` once with each of the values."""
    place = next((n for n, word in enumerate(words) if re.fullmatch(r"[\w.]+=[^'\"]*\|.*", word)), None)
    if place is None:
        yield list(words)
        return
    key, _, values = words[place].partition("=")
    for value in values.split("|"):
        yield from with_alternatives([*words[:place], f"{key}={value}", *words[place + 1 :]])
