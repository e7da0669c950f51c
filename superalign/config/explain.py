"""`superalign config --explain`: of each setting its value, meaning, type and range, default, and what set it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from superalign.config.compose import Composed, compose
from superalign.config.keys import is_mapping, is_section, is_several, schema_fields, schema_keys, unknown_key
from superalign.config.paths import groups
from superalign.config.plugins import LISTS, SLOTS
from superalign.config.recipes import recipes
from superalign.config.schema import Config
from superalign.errors import UserError

KINDS: Final = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "text"}
BOUNDS: Final = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of a setting.

    Attributes:
        kind: its type and range, in words.
        source: what set the value: a file, the command line, `default`, or `default of` a plug-in.
    """

    key: str
    value: str
    meaning: str
    kind: str
    default: str
    source: str


def explain(given: Sequence[str] = (), key: str | None = None, width: int | None = None) -> str:
    """A block of lines for one key; aligned lines, one for each setting, for a section or the whole schema.

    Args:
        given: files of settings and overrides, as for a run.
        key: a setting or a section; None for all.
        width: where lines are cut; None leaves them whole.

    Raises:
        UserError: the settings are wrong, or there is no such key.
    """
    composed = compose(given)
    found = explanations(composed)
    if key is None:
        return _lines(list(found.values()), width)
    if key in found:
        return _block(found[key], width or 100)
    if (mapping := key.rpartition(".")[0]) in found and is_mapping(schema_keys()[mapping]):
        return _block(found[mapping], width or 100)
    section = schema_keys(Config, composed.selection).get(key)
    if not is_section(section):
        raise UserError(unknown_key(key, composed.selection))
    about = schema_fields(composed.selection)[key].description or next(iter((section.__doc__ or "").splitlines()), "")
    inside = [e for name, e in found.items() if name.startswith(f"{key}.")]
    return "\n".join([f"{key}: {about}", *_choices(key), _lines(inside, width) or "no settings here"])


def explanations(composed: Composed) -> dict[str, Explanation]:
    """Of every setting that is no section, in the order of the schema."""
    types, values = schema_keys(Config, composed.selection), composed.config.model_dump(mode="json")
    return {
        key: Explanation(
            key=key,
            value=_text(_get(values, key)),
            meaning=field.description or "",
            kind=kind_of(field),
            default=_default(field),
            source=_source(composed, key, field),
        )
        for key, field in schema_fields(composed.selection).items()
        if not is_section(types[key])
    }


def kind_of(field: FieldInfo) -> str:
    """Type and range in words, for example `whole number, above 0, or null`."""
    return _kind(field.annotation, field.metadata)


def _kind(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _kind(inner, [*more, *metadata])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [_kind(inner, metadata) for inner in get_args(annotation) if inner is not NoneType]
        return " or ".join(kinds) + ", or null" * (NoneType in get_args(annotation))
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    if is_several(annotation):
        return "words, with commas between"
    if is_mapping(annotation):
        return "keys of your own"
    return ", ".join([KINDS.get(annotation) or str(getattr(annotation, "__name__", annotation)), *_bounds(metadata)])


def _bounds(metadata: Sequence[Any]) -> list[str]:
    each = [inner for entry in metadata for inner in getattr(entry, "metadata", None) or [entry]]
    return [f"{word} {getattr(e, name):g}" for e in each for name, word in BOUNDS.items() if hasattr(e, name)]


def _get(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    return "none: it must be given" if default is PydanticUndefined else _text(default)


def _text(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "[]"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def _source(composed: Composed, key: str, field: FieldInfo) -> str:
    """What set a key, or the first of what is below it."""
    told = (source for name, source in composed.sources.items() if f"{name}.".startswith(f"{key}."))
    if (source := next(told, None)) is not None:
        return source
    section, _, leaf = key.partition(".")
    if section == "plugin":
        return f"{DEFAULT} of {leaf.partition('.')[0]}"
    slot, name = SLOTS.get(section), composed.selection.names.get(section)
    if slot is None or name is None or name in slot.registry.builtin or name == slot.default:
        return DEFAULT
    inherited = slot.base.model_fields.get(leaf)
    own = inherited is None or inherited.get_default(call_default_factory=True) != field.get_default(
        call_default_factory=True
    )
    return f"{DEFAULT} of {name}" if own else DEFAULT


def _choices(key: str) -> list[str]:
    """What a key that names a plug-in, or an option of conf/, can be."""
    registries = {slot.field: slot.registry for slot in SLOTS.values()} | LISTS | {"recipe": recipes()}
    known = registries[key].names() if key in registries else groups().get(key, {})
    return [f"  {f'{key}={name}':<{len(key) + 1 + max(map(len, known))}}  {line}" for name, line in known.items()]


def _block(e: Explanation, width: int) -> str:
    lines = [f"{e.key}={e.value}"]
    for name, text in {"meaning": e.meaning, "type": e.kind, "default": e.default, "set by": e.source}.items():
        lines += textwrap.wrap(f"  {name:<8} {text}", width, subsequent_indent=" " * 11, break_on_hyphens=False)
    return "\n".join([*lines, *_choices(e.key)])


def _lines(found: Sequence[Explanation], width: int | None) -> str:
    """What each setting is, what set it, and what it means."""
    settings, sources = [f"{e.key}={e.value}" for e in found], [e.source for e in found]
    first, second = (min(max(map(len, column), default=0), 48) for column in (settings, sources))
    lines = [
        f"{setting:<{first}}  {source:<{second}}  {e.meaning}".rstrip()
        for setting, source, e in zip(settings, sources, found, strict=True)
    ]
    return "\n".join(line if width is None or len(line) <= width else f"{line[: width - 1]}…" for line in lines)
