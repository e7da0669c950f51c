"""Requests and labelled answers that ship with superalign; the README beside them says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from superalign.errors import UserError

DEMO: Final = "demo"
"""What settings say for them: `data.seeds=demo` for the requests, `expert.curated=demo` for the answers."""

FILES: Final = {"requests": "requests.jsonl", "answers": "answers.jsonl"}


def path(name: str) -> Path:
    """The file of the requests or of the answers.

    Raises:
        KeyError: another name.
    """
    return Path(__file__).parent / FILES[name]


def located(source: str, name: str) -> str:
    """What a setting names, with the place of the demo's file for `demo`.

    Raises:
        UserError: a file or folder here is called `demo`, too, so that either could be meant.
    """
    if source != DEMO:
        return source
    if (beside := Path(DEMO)).exists():
        raise UserError(f"{DEMO} is the name of data that ship with superalign and of {beside.resolve()}: write ./demo")
    return str(path(name))
