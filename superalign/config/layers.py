"""Layers of settings: nested values, and the file that they come from."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from superalign.config.paths import conf_dir, groups, home, templates
from superalign.errors import UserError
from superalign.store.pins import SECTIONS
from superalign.store.renamed_settings import refuse_renamed

SUFFIXES: Final = (".yaml", ".yml")
GLOBAL: Final = "# @package _global_"  # Hydra's header of a file whose keys are not those of its group
SHORT: Final = {"data": "data.source"}  # `data=PATH` names what a task reads


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one source.

    Attributes:
        source: for people: a file, or the command line.
        values: nested by section.
        default_of: the group whose default option this is, where nobody named one.
        options: options of groups that are named beside the values.
    """

    source: str
    values: Mapping[str, Any]
    default_of: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def default_options() -> dict[str, str]:
    """The option of each group that is taken where none is named, in the order in which groups are applied."""
    entries = _yaml(conf_dir() / "config.yaml")["defaults"]
    return {group: option for entry in entries for group, option in entry.items()}


def group_layer(group: str, option: str, default: bool = False) -> Layer:
    """What an option of a group in conf/ sets."""
    path = conf_dir() / group / f"{option}.yaml"
    values = _yaml(path)
    everywhere = path.read_text(encoding="utf-8").startswith(GLOBAL)
    source = str(path.relative_to(home()))
    return Layer(source, values if everywhere else {group: values}, group if default else None)


def read_settings(given: str) -> Layer:
    """A user's file of settings: a path, or the name of a template.

    Raises:
        UserError: there is no such file, it is no YAML mapping, or has settings under old names.
    """
    path = Path(given).expanduser()
    path = path if path.is_file() else templates().get(given, path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no such file: {given} (templates: {', '.join(templates())})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {given}: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{given} is no readable YAML: {_where(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{given} holds no settings: write KEY: VALUE, for example seed: 1")
    # The config.yaml of a run is a file of settings, too; what it says beside them is of that run alone.
    return settings_layer({key: value for key, value in values.items() if key not in SECTIONS}, given)


def settings_layer(values: Mapping[Any, Any], source: str) -> Layer:
    """Settings by dotted or nested keys; the name of a group names one of its options.

    Raises:
        UserError: a key is no word, or a setting has its old name.
    """
    nested: dict[str, Any] = {}
    options: dict[str, str] = {}
    known = groups()
    for key, value in _words(values, source):
        if key in known and isinstance(value, str):
            options[key] = value
        else:
            put(nested, key if isinstance(value, Mapping) else SHORT.get(key, key), value)
    refuse_renamed(nested, source)
    return Layer(source, nested, options=options)


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a mapping is merged with what is there."""
    for part in reversed(key.split(".")):
        value = {part: value}
    values.update(merged(values, value))


def drop(values: dict[str, Any], key: str) -> None:
    """Leave out a dotted key."""
    *sections, leaf = key.split(".")
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            return
        values = inner
    values.pop(leaf, None)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, of which those above win."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf by its dotted key; an empty mapping is a leaf."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@functools.cache
def _yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _words(values: Mapping[Any, Any], file: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if not isinstance(key, str):
            raise UserError(f"{file}: {prefix}{key} is no key of a setting: keys are words")
        if isinstance(value, Mapping) and value:
            yield from _words(value, file, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value) if isinstance(value, date) else value


def _where(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    told = " ".join(str(problem or error).split())
    return f"{told} in line {mark.line + 1}" if mark else told
