"""What the values of a kind column mean: harmful, benign, left out, or not understood, which is never a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal

from superalign.config.sections import DataConfig
from superalign.config.sections.common import as_word
from superalign.data.forms import is_empty
from superalign.errors import UserError
from superalign.records import Kind

Meaning = Literal["harmful", "benign", "skip"]
ALWAYS: Final[Mapping[str, Kind]] = {
    "harmful": "harmful",
    "unsafe": "harmful",
    "benign": "benign",
    "safe": "benign",
    "harmless": "benign",
    "unharmful": "benign",
}
"""Words that mean one thing whatever else the settings list, unless they list them for the other."""
OPPOSITE: Final = {"1": "0", "0": "1", "true": "false", "false": "true", "yes": "no", "no": "yes"}
"""Truth values: what they mean depends on the question, which the column's name or the settings must tell."""
OF_HARM: Final = (
    *("harm", "unsafe", "toxic", "malicious", "jailbreak", "attack", "danger", "violat", "flag", "illegal"),
    *("kind", "label", "class"),
)
"""In the name of a column of which 1, true and yes mean harmful."""
NEGATED: Final = ("harmless", "unharm", "non", "not", "no_", "without", "free")
LONGEST: Final = 24  # characters of a value that are shown: a longer one is a text, which does not belong into a log
WORDS: Final = 3
MOST: Final = 20  # values that are shown


class Labels:
    """Understands the values of one kind column, and counts those that it does not.

    Args:
        config: lists the values that mean harmful, benign, or leave out.
        column: its name.
        told: whether the settings name the column; else 1, true and the like are not understood.
        words: what further values mean, by a known layout.

    Raises:
        UserError: a value is listed for two meanings.
    """

    def __init__(self, config: DataConfig, column: str, told: bool, words: Mapping[str, Kind]) -> None:
        self.column = column
        self.hint = (
            "" if told or not _of_harm(column) else f"; data.columns.kind={column} says that 1, true and yes are"
        )
        self.meanings: Mapping[str, Meaning] = {**words, **_meanings(config, truths=told and _of_harm(column))}
        self.known: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def meaning(self, value: Any) -> Meaning | None:
        """What a cell means; None where that is not understood.

        A list means what it is listed as (its items with `, ` between), else what all of its items mean alike.
        """
        shown = written(value)
        meaning = self.meanings.get(shown.casefold())
        if meaning is None and isinstance(value, list):
            each = {self.meanings.get(written(item).casefold()) for item in value}
            meaning = each.pop() if len(each) == 1 else None
        (self.unknown if meaning is None else self.known)[shown] += 1
        return meaning

    def refusal(self) -> str | None:
        """What to say where a value was not understood; None where all were."""
        if not self.unknown:
            return None
        truths = sorted(OPPOSITE.keys() & {value.casefold() for value in self.unknown})
        why = f" (nothing says whether {' or '.join(truths)} is harmful{self.hint})" if truths else ""
        return (
            f"column {self.column!r} holds values that say neither harmful nor benign: {_counted(self.unknown)}{why}"
            f"{f'; understood: {_counted(self.known)}' if self.known else ''}; say what they mean by "
            "data.harmful_values=[...] and data.benign_values=[...], or leave their rows out by data.skip_values=[...]"
        )


def written(value: Any) -> str:
    """A cell as a value of the settings would be written: 1.0 as 1, nothing as the empty text, a list by its items."""
    if isinstance(value, list):
        return ", ".join(map(written, value))
    if isinstance(value, dict):
        return "an object" if value else ""
    if is_empty(value):
        return ""
    return str(as_word(value) if not _is_whole(value) else as_word(float(value)))


def _is_whole(value: Any) -> bool:
    """Whether a text is a whole number as pandas writes it where a cell of the column is empty: 1.0."""
    return isinstance(value, str) and value.strip() in ("0.0", "1.0")


def _meanings(config: DataConfig, truths: bool) -> dict[str, Meaning]:
    """The meaning of every value, in lower case; what the settings list wins over the default lists.

    Args:
        config: the lists.
        truths: whether truth values mean what the default lists say.
    """
    given: dict[Meaning, set[str]] = {
        "harmful": {value.casefold() for value in config.harmful_values},
        "benign": {value.casefold() for value in config.benign_values},
        "skip": {value.casefold() for value in config.skip_values},
    }
    told = {name: words for name, words in given.items() if words != _default(f"{name}_values")}
    listed = [value for words in told.values() for value in words]
    for value in listed:
        if listed.count(value) > 1:
            several = " and ".join(f"data.{name}_values" for name, words in told.items() if value in words)
            raise UserError(f"{several} both list {value!r}: a value means one thing")
    found: dict[str, Meaning] = {**ALWAYS}
    for name, words in given.items():
        if name not in told:
            found |= {value: name for value in words if value not in OPPOSITE or _stands(value, told, truths)}
    return found | {value: name for name, words in told.items() for value in words}


def _stands(truth: str, told: Mapping[Meaning, set[str]], truths: bool) -> bool:
    """Whether a truth value of a default list holds: beside a list of the user's only if its opposite is there."""
    kinds = [words for name, words in told.items() if name != "skip"]
    return truths and (not kinds or any(OPPOSITE[truth] in words for words in kinds))


def _default(name: str) -> set[str]:
    return set(DataConfig.model_fields[name].default)


def _of_harm(column: str) -> bool:
    name = column.casefold()
    return any(word in name for word in OF_HARM) and not any(word in name for word in NEGATED)


def _counted(values: Mapping[str, int]) -> str:
    ordered = sorted(values.items(), key=lambda each: (-each[1], each[0]))
    told = [f"{_safe(value)} {count}" for value, count in ordered[:MOST]]
    more = [f"{len(ordered) - MOST} further values {sum(n for _, n in ordered[MOST:])}"] if len(ordered) > MOST else []
    return ", ".join([*told, *more])


def _safe(value: str) -> str:
    if not value:
        return "'' (empty)"
    short = len(value) <= LONGEST and len(value.split()) <= WORDS
    return repr(value) if short else f"one of {len(value)} characters"
