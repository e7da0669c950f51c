"""Whether a command of a README is one that works, told without running it."""

from __future__ import annotations

import functools
import importlib.util
import re
import tomllib
from collections.abc import Sequence
from typing import Any, Final

from superalign.commands.main import parser
from superalign.config.compose import load
from superalign.config.keys import schema_keys
from superalign.config.paths import groups
from superalign.config.plugins import SLOTS, select
from superalign.config.schema import Config
from superalign.config.sweep import sweep
from superalign.errors import UserError
from superalign.runtime import job_spec
from tests.readmes import ROOT, Command, script_parser, with_alternatives

UNTESTED: Final = {
    ". .venv/bin/activate": "the environment that the tests run in is active already",
    "mkdir": "a folder on the reader's machine",
    "cp": "a file on the reader's machine; that what is copied exists is tested",
    "docker build": "needs a Docker engine; docker/build.sh builds the same target, and is tried by hand",
    "docker run": "needs a Docker engine; the superalign command inside is tested",
    "docker compose": "needs a Docker engine; the superalign command inside is tested",
    "docker/build.sh": "needs root and buildah, and takes many minutes",
    "ray job submit": "Ray's own command; the superalign command inside is tested",
    "ray start": "Ray's own command; tests/runtime starts such clusters",
    "pip install": "needs a registry; that the extra exists is tested",
    ".ci/run": "runs these tests",
}
"""Commands, by how they begin, that are neither run nor parsed here, and why."""
ROWS: Final = '{"prompt": "how do i bake?", "text": "how do i bake?", "kind": "benign", "label": "benign"}\n'
RECIPE: Final = (ROOT / "recipes" / "selfplay.py").read_text(encoding="utf-8")
FILES: Final = {
    "my.yaml": "rounds: 2\n",
    "principles.txt": "Be honest.\n",
    **dict.fromkeys(("mine.py", "path/to/mine.py"), RECIPE),
    **dict.fromkeys(("prompts.jsonl", "rows.jsonl", "preferences.jsonl", "reviews.jsonl", "items.jsonl"), ROWS),
}
"""Files that a reader has, by the names that READMEs give them."""
PLACEHOLDERS: Final = {
    **{"S": "0", "E": "3", "N": "2", "SHARE": "0.2", "TASK": "digits", "METHOD": "naive"},
    **{"WEAK": "pixels:4", "STRONG": "centroids:300", "STORIES": "testbed-small", "MINILM": "testbed"},
}
"""Words that stand for a value of the reader's own, where not any text would do."""
VERBS: Final = frozenset({"train", "eval", "submit", "experts", "config", "status", "doctor", "report"})


def check(command: Command) -> None:
    """Refuse a command that cannot work.

    Raises:
        AssertionError, UserError, SystemExit: what is wrong with it.
    """
    program, rest = command.words[0], command.words[1:]
    given = superalign_words(command)
    if given is not None:
        check_superalign(given, command.inline)
    elif program == "make":
        check_make(rest)
    elif program == "python" or program.endswith("/python"):
        check_python(rest)
    else:
        assert any(str(command).startswith(start) for start in UNTESTED), "nothing tests it: add it to UNTESTED"
        if program == "pip":
            check_pip(rest)
        if program == "docker" and "--target" in rest:
            targets = re.findall(r"^FROM .* AS (\w+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
            assert rest[rest.index("--target") + 1] in targets, f"the Dockerfile has {targets}"
    for word in command.words:
        if re.match(r"(docker|conf|recipes|tests)/", word) and word != "docker/.env":
            assert (ROOT / word).exists(), f"no file {word}"


def superalign_words(command: Command) -> list[str] | None:
    """What follows `superalign` in a command, also inside one of docker or ray; None where there is none."""
    words = command.words
    if words[:3] == ("python", "-m", "superalign.commands.main"):
        return list(words[3:])
    for place, word in enumerate(words):
        inside = words[0] in ("docker", "ray") and VERBS.intersection(words[place + 1 : place + 2])
        if word.partition(":")[0] == "superalign" and (place == 0 or inside):  # of docker, an image
            return list(words[place + 1 :])
    return None


def filled(word: str) -> str:
    """A word with its placeholders replaced."""
    return re.sub(r"(?<=[=,:])[A-Z]+(?=$|,)", lambda found: PLACEHOLDERS.get(found[0], found[0]), word)


def check_superalign(words: Sequence[str], inline: bool) -> None:
    """Parse a command and compose its settings."""
    for given in with_alternatives([filled(word) for word in words]):
        if given[-1] in ("--help", "KEY=VALUE"):
            continue
        try:
            parsed = parser().read(given)
        except UserError as error:
            if inline and str(error).startswith("missing: "):
                continue
            raise
        overrides = getattr(parsed, "overrides", [])
        if getattr(parsed, "job", None):
            overrides = [*job_spec.read(parsed.job).overrides, *overrides]
        if getattr(parsed, "multirun", False):
            assert len(sweep(overrides)) > 1, "a sweep of one run"
        else:
            load(overrides)


def check_make(words: Sequence[str]) -> None:
    """The targets and variables are those of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, is_variable, value = word.partition("=")
        assert re.search(rf"^{name} \?=" if is_variable else rf"^{name}:", makefile, re.MULTILINE), f"no {name}"
        if name == "BENCH_ARGS":
            script_parser(ROOT / "tests" / "benchmarks" / "suite.py").parse_args(value.split())
        if name == "DEMO_ARGS":
            load(["recipe=selfplay", *value.split()])


def check_python(words: Sequence[str]) -> None:
    """A script is there and takes these arguments; a module can be found."""
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), f"no module {words[1]}"
        return
    script = ROOT / words[0]
    assert script.is_file(), f"no script {words[0]}"
    _, unknown = script_parser(script).parse_known_args([word for word in words[1:] if not word.startswith("[")])
    assert not unknown, f"{words[0]} does not take {unknown}"


def check_pip(words: Sequence[str]) -> None:
    """The extras are declared."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), f"no extra {extras}"


def complaint(word: str) -> str | None:
    """What is wrong with `KEY=VALUE` or `KEY`; None where the key exists and the value can be right."""
    key, given, value = word.partition("=")
    if key.startswith("plugin.") or key.rpartition(".")[0] == "data.columns":
        return None
    if key not in every_key() and key not in groups():
        return f"{word}: there is no such setting"
    if not given or re.search(r"[<>()]|\b[A-Z]{2,}\b", value):
        return None
    try:
        load([word])
    except UserError as error:  # it may need others beside it: what counts is what is said of this value
        if str(error).startswith((f"{word}: ", "unknown ")) or "cannot be read" in str(error):
            return f"{word}: {error}"
    return None


def is_setting(word: str) -> bool:
    """Whether a word is KEY=VALUE, or a key with a section before its first dot."""
    if re.fullmatch(r"[a-z][a-z0-9_]*(\.\w+)*=\S+", word):
        return True
    section, _, leaf = word.partition(".")
    return bool(re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+", word)) and section in every_key() and leaf not in ("py", "yaml")


@functools.cache
def every_key() -> dict[str, Any]:
    """Every key of the schema, whichever of the built-ins are selected."""
    found = schema_keys()
    for slot in SLOTS.values():
        holder, _, field = slot.field.partition(".")
        for name in slot.registry.builtin:
            found |= schema_keys(Config, select({holder: {field: name}}))
    return found
