"""Overrides as on the command line, in Hydra's grammar: KEY=VALUE, and a value as its key's type means it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from superalign.config.keys import (
    is_mapping,
    is_section,
    is_several,
    is_text,
    is_text_or_several,
    section_line,
    several,
)
from superalign.config.layers import SHORT
from superalign.errors import UserError

OVERRIDE: Final = re.compile(r"(?P<mark>\+\+|\+|~)?(?P<key>[^=]+?)(?:=(?P<value>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Override:
    """One override.

    Attributes:
        given: as it was typed.
        key: dotted.
        value: its text; None where the key is deleted (`~key`), so that its default holds again.
    """

    given: str
    key: str
    value: str | None


def read(given: str) -> Override:
    """Split an override into key and value.

    Raises:
        UserError: it is none.
    """
    match = OVERRIDE.fullmatch(given)
    if match is None or (match["value"] is None and match["mark"] != "~"):
        if given.endswith((".yaml", ".yml")):
            raise UserError(f"{given!r} is a file of settings: files come before all KEY=VALUE")
        raise UserError(f"{given!r} is no override: write key=value, for example seed=1")
    key, value = match["key"], None if match["mark"] == "~" else match["value"]
    if value is not None and not value.startswith("{"):
        key = SHORT.get(key, key)
    return Override(given, key, value)


def value_of(override: Override, types: Mapping[str, Any]) -> Any:
    """The value, read as the type of its key says: text means itself, the rest is Hydra's.

    Raises:
        UserError: it cannot be read, or is several values.
    """
    text, annotation = override.value or "", types.get(override.key)
    words = is_several(annotation) and not text.startswith("[")
    if annotation is None and is_mapping(types.get(override.key.rpartition(".")[0])):
        annotation = _inner(types[override.key.rpartition(".")[0]])
    if is_section(annotation) and not text.startswith(("{", "${")):
        raise UserError(section_line(override.key, types))
    if words:
        return [_unquoted(word) for word in text.split(",")] if text else []
    if text != "null" and (is_text(annotation) or (is_text_or_several(annotation) and not text.startswith("["))):
        return _unquoted(text)
    parsed = parse(text, override.given)
    if parsed.is_sweep_override():
        raise several_values(override.given)
    return parsed.value()


def parse(text: str, given: str) -> Any:
    """A value as Hydra's override parser reads it.

    Raises:
        UserError: it cannot.
    """
    from hydra.errors import HydraException

    try:
        return _parser().parse_override(f"value={text}")
    except HydraException:
        raise UserError(f"{given!r} cannot be read: put a value with brackets, commas or quotes in quotes") from None


def several_values(given: str) -> UserError:
    """What is said of several values for one run."""
    return UserError(
        f"{given!r} has several values: give one, or add --multirun for a run of each "
        f"(several in one run take: {', '.join(several())})"
    )


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return str(parse(text, text).value())
    return text


def _inner(annotation: Any) -> Any:
    *_, inner = get_args(annotation) or (None,)
    return inner


@functools.cache
def _parser() -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create()
