"""Prompts and policies from YAML files; a file may say on which other one it is based and hold differences alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from superalign.errors import UserError
from superalign.prompts.asks import Data
from superalign.prompts.library import Prompts
from superalign.prompts.policy import Policy

BASE = "based_on"
D = TypeVar("D", bound=Data)


@lru_cache(maxsize=16)
def load_prompts(path: Path, shipped: Path) -> Prompts:
    """The prompts in a file, which may be based on one beside it or in the folder of those that ship.

    Raises:
        UserError: it cannot be read, or something is wrong in it; the message says where.
    """
    return _load(Prompts, "prompts", path, shipped)


@lru_cache(maxsize=16)
def load_policy(path: Path, shipped: Path) -> Policy:
    """The policy in a file, which may be based on one beside it or in the folder of those that ship.

    Raises:
        UserError: as `load_prompts`.
    """
    return _load(Policy, "policy", path, shipped)


def _load(kind: type[D], setting: str, path: Path, shipped: Path) -> D:
    values = _values(setting, path, shipped, ())
    try:
        return kind.model_validate({"name": path.stem} | values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{setting}={path}: {where}: {said}") from None


def _values(setting: str, path: Path, shipped: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """What a file says, with what it is based on."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{setting}={path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{setting}={path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{setting}={path} should be a mapping, as the files that ship are (conf/{setting}/*.yaml)")
    if (base := values.pop(BASE, None)) is None:
        return values
    named = Path(base if str(base).endswith(".yaml") else f"{base}.yaml")
    found = next((folder / named for folder in (path.parent, shipped) if (folder / named).is_file()), None)
    if found is None or found in (path, *above):
        raise UserError(f"{setting}={path}: {BASE}: {base} is no file that ships, and none beside this one")
    return _merged(_values(setting, found, shipped, (*above, path)), values)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, part by part; what `above` says counts."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out
