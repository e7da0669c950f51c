"""From command-line overrides to a validated Config. Hydra stays at this edge; every mistake is one clear line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import NoneType
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from superalign.config.paths import conf_dir, groups
from superalign.config.schema import Config
from superalign.errors import UserError, nearest

# Must be the first entry of conf/config.yaml's defaults.
SCHEMA: Final = "superalign_defaults"
SHORT: Final = {"data": "data.source"}  # `data=PATH` names what a task reads
OVERRIDE: Final = re.compile(r"(?P<mark>\+\+|\+|~)?(?P<key>[^=]+?)(?:=(?P<value>.*))?", re.DOTALL)


def load(overrides: Sequence[str] = ()) -> Config:
    """Compose conf/ with Hydra-style `overrides` and validate the result.

    Raises:
        UserError: an override is malformed, names an unknown key or option, or has a value of the wrong type or range.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parser = OverridesParser.create()
    prepared = [_prepare(override) for override in overrides]
    for given, override in zip(overrides, prepared, strict=True):
        try:
            parsed = parser.parse_override(override)
        except HydraException:
            raise UserError(
                f"{given!r} cannot be read: put a value with brackets, commas or quotes in quotes"
            ) from None
        if parsed.is_sweep_override():
            able = ", ".join(several())
            raise UserError(
                f"{given!r} has several values: give one, and start one command for each (several take: {able})"
            )
    ConfigStore.instance().store(name=SCHEMA, node=Config().model_dump(mode="json"))
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            composed = compose("config", overrides=prepared)
            values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_hydra_line(error, overrides)) from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError(validation_line(error)) from None


def several() -> list[str]:
    """The keys that take several values, which one run goes through."""
    return [key for key, annotation in schema_keys().items() if _is_several(annotation) and not key.startswith("data.")]


def schema_keys(model: type[BaseModel] = Config, prefix: str = "") -> dict[str, Any]:
    """Every dotted key of the schema and its type; sections are keys too."""
    keys: dict[str, Any] = {}
    for name, field in ((field.alias or name, field) for name, field in model.model_fields.items()):
        keys[prefix + name] = field.annotation
        if section := _section(field.annotation):
            keys |= schema_keys(section, f"{prefix}{name}.")
    return keys


def _prepare(override: str) -> str:
    """Check the override's key, and hand text to Hydra quoted, so that paths and names mean themselves."""
    match = OVERRIDE.fullmatch(override)
    if match is None or (match["value"] is None and match["mark"] != "~"):
        raise UserError(f"{override!r} is no override: write key=value, for example seed=1")
    mark, key, value = match["mark"] or "", match["key"], match["value"]
    if key in SHORT and value is not None and not value.startswith("{"):
        key = SHORT[key]
    types, options = schema_keys(), groups().get(key)
    parent = key.rpartition(".")[0]
    if types.get(parent) == dict[str, str] and value is not None:
        return f"++{key}={_quoted(value)}"
    if types.get(key) == dict[str, str] and value is not None:
        return f"++{key}={value}"
    if options is None and (key not in types):
        raise UserError(f"unknown key {key}{nearest(key, types)}{_section_hint(parent, types)}")
    if options is not None and value not in options and not mark:
        raise UserError(f"unknown {key} {value!r}{nearest(value or '', options)} (there is: {', '.join(options)})")
    if options is None and _section(types[key]) and not (value or "").startswith("{"):
        example = next(name for name in types if name.startswith(f"{key}."))
        raise UserError(f"{key} is a section, not a value: set one of its keys, for example {example}=...")
    if value is not None and options is None:
        if _is_several(types[key]) and not value.startswith("["):
            value = f"[{','.join(_quoted(word) for word in value.split(','))}]"
        elif _section(types[key]):
            mark = "++"  # so that a key that does not exist comes as far as the schema, which names the nearest
        elif _is_text(types[key]) and value != "null":
            value = _quoted(value)
    return f"{mark}{key}" if value is None else f"{mark}{key}={value}"


def _quoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value
    # In Hydra's grammar a backslash is special only before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value, count=0) + "'"


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _is_text(annotation: Any) -> bool:
    return annotation is str or set(get_args(annotation)) == {str, NoneType}


def _is_several(annotation: Any) -> bool:
    return get_origin(annotation) is tuple and get_args(annotation)[0] is str


def _section_hint(parent: str, types: dict[str, Any]) -> str:
    if not parent or not _section(types.get(parent)):
        return ""
    return f" ({parent} has: {', '.join(types[parent].model_fields)})"


def _hydra_line(error: Exception, overrides: Sequence[str]) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0].rstrip(".") if lines else type(error).__name__
    return f"{first} (in: {' '.join(overrides)})"


def validation_line(error: ValidationError, model: type[BaseModel] = Config) -> str:
    """The first of the mistakes that a model found in its values, an unknown key with the nearest valid one."""
    first, *rest = error.errors(include_url=False)
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}{nearest(key, schema_keys(model))}"
    reason = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    more = f" (and {len(rest)} more like it)" if rest else ""
    whole = not key or (first["type"] == "value_error" and isinstance(first["input"], dict))  # speaks of several keys
    return f"{reason}{more}" if whole else f"{key}={first['input']}: {reason}{more}"
