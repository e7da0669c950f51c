"""The keys of the schema: their types, and what is said of one that does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from superalign.config.plugins import Selection, owners, select
from superalign.config.schema import Config
from superalign.errors import nearest
from superalign.store.renamed_settings import RENAMED


def schema_keys(model: type[BaseModel] = Config, selection: Selection | None = None) -> dict[str, Any]:
    """Every dotted key of the schema and its type; sections are keys too.

    The sections of Config have the keys of who is selected, by default of the built-ins that the defaults name.
    """
    classes = (selection or select({})).classes if model is Config else {}
    return {key: classes.get(key, field.annotation) for key, field in _fields(model, classes).items()}


def schema_fields(selection: Selection) -> dict[str, FieldInfo]:
    """Every dotted key of the schema of Config, with its default and description."""
    return _fields(Config, selection.classes)


def several() -> list[str]:
    """The keys that take several values, which one run goes through."""
    return [key for key, annotation in schema_keys().items() if is_several(annotation) and not key.startswith("data.")]


def is_section(annotation: Any) -> bool:
    """Whether a type is a section of settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_text(annotation: Any) -> bool:
    """Whether a type is text, whatever it looks like: a path or a name may have commas and brackets."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return all(kind in (str, Path, NoneType) for kind in kinds)


def is_several(annotation: Any) -> bool:
    """Whether a type is a list of words."""
    return get_origin(annotation) in (tuple, list) and get_args(annotation)[0] is str


def is_text_or_several(annotation: Any) -> bool:
    """Whether a type is text or a list of words."""
    return get_origin(annotation) in (Union, UnionType) and all(
        is_text(kind) or is_several(kind) for kind in get_args(annotation)
    )


def is_mapping(annotation: Any) -> bool:
    """Whether a type is a mapping with keys of the user's own."""
    return annotation is dict or get_origin(annotation) is dict


def section_line(key: str, types: Mapping[str, Any]) -> str:
    """What is said of a value that is given to a whole section."""
    if key == "judge":
        return "evaluation.judge=NAME says who judges; judge.KEY=VALUE are its settings"
    example = next((name for name in types if name.startswith(f"{key}.")), f"{key}.NAME.KEY")
    return f"{key} is a section, not a value: set one of its keys, for example {example}=..."


def unknown_key(key: str, selection: Selection) -> str:
    """What is said of a key that the schema does not have: its new name, whose it is, or the nearest."""
    if key in RENAMED:
        return f"{key} is now called {RENAMED[key]}"
    section, _, leaf = key.partition(".")
    name = selection.names.get(section)
    if name is not None and (having := owners(section, leaf)):
        have = "has" if len(having) == 1 else "have"
        return f"{key} is no setting of {section}={name}: {', '.join(having)} {have} it"
    types = schema_keys(Config, selection)
    if section == "plugin" and leaf and (own := f"plugin.{leaf.partition('.')[0]}") not in types:
        return (
            f"{own} is nobody's: no family, task, method or suite of this name with settings of its own is selected"
            f"{nearest(own, [k for k in types if k.startswith('plugin.') and k.count('.') == 1])}"
        )
    parent = key.rpartition(".")[0]
    hint = f" ({parent} has: {', '.join(types[parent].model_fields)})" if is_section(types.get(parent)) else ""
    return f"unknown key {key}{nearest(key, types)}{hint}"


def validation_line(error: ValidationError, model: type[BaseModel] = Config, selection: Selection | None = None) -> str:
    """The first of the mistakes that a model found in its values, an unknown key with the nearest valid one."""
    first, *rest = error.errors(include_url=False)
    key = error_key(error)
    if first["type"] == "extra_forbidden":
        if selection is not None:
            return unknown_key(key, selection)
        return f"unknown key {key}{nearest(key, schema_keys(model))}"
    reason = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    more = f" (and {len(rest)} more like it)" if rest else ""
    if first["type"] == "missing":
        return f"{key} must be given{more}"
    whole = not key or (
        first["type"] == "value_error" and isinstance(first["input"], Mapping)
    )  # speaks of several keys
    return f"{reason}{more}" if whole else f"{key}={first['input']}: {reason}{more}"


def error_key(error: ValidationError) -> str:
    """The dotted key of the first mistake; empty where it is of the whole."""
    return ".".join(map(str, error.errors(include_url=False)[0]["loc"]))


def _fields(model: type[BaseModel], classes: Mapping[str, type[BaseModel]], prefix: str = "") -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in ((field.alias or name, field) for name, field in model.model_fields.items()):
        key = prefix + name
        found[key] = field
        section = classes.get(key, field.annotation)
        if isinstance(section, type) and issubclass(section, BaseModel):
            found |= _fields(section, {}, f"{key}.")
    return found
