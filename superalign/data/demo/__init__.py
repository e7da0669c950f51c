"""Requests and labelled answers that ship with superalign; the README beside them says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from superalign.errors import UserError

DEMO: Final = "demo"
"""What settings say for them."""

FILES: Final = {"requests": "requests.jsonl", "answers": "answers.jsonl", "judge_answers": "judge_answers.jsonl"}

SETTINGS: Final[Mapping[str, str]] = {
    "data.seeds": "requests",
    "expert.curated": "answers",
    "judge.labels": "judge_answers",
    "evaluation.labels": "judge_answers",
}
"""Which of the files `demo` is in each setting: a judge never learns from, or is checked on, the critic's labels."""


def path(name: str) -> Path:
    """The file of the requests, of the critic's or of the judge's labelled answers.

    Raises:
        KeyError: another name.
    """
    return Path(__file__).parent / FILES[name]


def located(source: str, setting: str) -> str:
    """What a setting names, with the place of its file for `demo`.

    Raises:
        UserError: a file or folder here is called `demo`, too, so that either could be meant.
    """
    if source != DEMO:
        return source
    if (beside := Path(DEMO)).exists():
        raise UserError(
            f"{setting}={DEMO} may be the data that ship with superalign or {beside.resolve()}: write ./{DEMO} for that"
        )
    return str(path(SETTINGS[setting]))
