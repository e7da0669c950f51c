"""Plug-ins that are wrong in one place: those of tests/plugin with some of their code replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "plugin" / "superalign_example"
CLASSES = {
    "attacker": "Templates",
    "critic": "Words",
    "family": "Letter",
    "judge": "Keywords",
    "learner": "SLiC",
    "method": "Softened",
    "recipe": "",
    "suite": "Brevity",
    "task": "Reviews",
}


def example(kind: str) -> str:
    """The example of a kind as settings name it."""
    return _named(EXAMPLES / f"{kind}.py", kind)


def changed(folder: Path, kind: str, changes: Mapping[str, str]) -> str:
    """The example with code replaced, in a file of its own."""
    code = (EXAMPLES / f"{kind}.py").read_text()
    for old, new in changes.items():
        assert old in code, f"{kind}.py has no {old!r}"
        code = code.replace(old, new)
    (folder / f"{kind}.py").write_text(code)
    return _named(folder / f"{kind}.py", kind)


def complaint(check: Callable[..., None], plugin: str, given: Any = None) -> str:
    """What a check says of a plug-in, which is one line."""
    with pytest.raises(AssertionError) as raised:
        check(plugin, given or {})
    (line,) = str(raised.value).splitlines()
    assert plugin in line
    return line


def _named(path: Path, kind: str) -> str:
    return f"{path}:{CLASSES[kind]}".removesuffix(":")
