"""From files and command-line overrides to a validated Config; every mistake is one clear line.

Layers, of which later ones win: the schema's defaults, the groups of conf/, the user's files, groups and then keys of
the command line. The grammar of overrides is Hydra's, interpolations (`${seed}`) are OmegaConf's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from superalign.config.keys import (
    error_key,
    is_mapping,
    is_section,
    is_several,
    schema_keys,
    section_line,
    unknown_key,
    validation_line,
)
from superalign.config.layers import (
    SUFFIXES,
    Layer,
    default_options,
    drop,
    flat,
    group_layer,
    merged,
    put,
    read_settings,
    settings_layer,
)
from superalign.config.overrides import Override, read, several_values, value_of
from superalign.config.paths import groups
from superalign.config.plugins import LISTS, SELECTING, SLOTS, Selection, select
from superalign.config.recipes import recipes
from superalign.config.schema import Config
from superalign.errors import UserError, nearest
from superalign.models.permissions import allow

COMMAND_LINE: Final = "the command line"
ARGUMENTS: Final = "the arguments"


@dataclass(frozen=True, slots=True)
class Composed:
    """A Config, and where it comes from.

    Attributes:
        sources: by dotted key, what set a value that is not the default.
        selection: whose settings its sections are.
    """

    config: Config
    sources: Mapping[str, str]
    selection: Selection


def load(given: Sequence[str] = (), arguments: Mapping[str, Any] | None = None) -> Config:
    """Compose conf/ with files of settings and Hydra-style overrides, and validate the result.

    Args:
        given: files, then overrides.
        arguments: what wins over all of these: Python values by dotted or nested keys.

    Raises:
        UserError: something is malformed, names an unknown key or option, or has a value of the wrong type or range.
    """
    return compose(given, arguments).config


def compose(given: Sequence[str] = (), arguments: Mapping[str, Any] | None = None) -> Composed:
    """As `load`, telling where each value comes from."""
    files, words = split(given)
    last = settings_layer(arguments or {}, ARGUMENTS)
    layers, overrides = _layers([read_settings(file) for file in files], [read(word) for word in words], last)
    selection = _selection(layers, overrides, last)
    types = schema_keys(Config, selection)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        if layer.default_of in SLOTS and not _is_builtin(layer.default_of, selection):
            continue  # what conf/ says of a built-in is not for a plug-in
        _take(layer, values, sources, types, selection)
    for override in overrides:
        if not _exists(override.key, types):
            raise UserError(unknown_key(override.key, selection))
        sources = {key: source for key, source in sources.items() if not f"{key}.".startswith(f"{override.key}.")}
        if override.value is None:
            drop(values, override.key)
        else:
            value = value_of(override, types)
            put(values, override.key, value)
            sources |= {key: COMMAND_LINE for key, _ in flat({override.key: value})}
    _take(last, values, sources, types, selection)
    resolved = _resolved(merged(default_values(selection), values), given)
    try:
        return Composed(_in_force(Config.model_validate(resolved)), sources, selection)
    except ValidationError as error:
        source = sources.get(error_key(error), COMMAND_LINE)
        where = "" if source == COMMAND_LINE else f"{source}: "
        raise UserError(where + validation_line(error, Config, selection)) from None


def restore(settings: Mapping[str, Any], where: str) -> Config:
    """The Config of stored settings, for example of a run; `where` they are stored, for messages.

    Raises:
        UserError: another version wrote them, or a plug-in that they name is gone.
    """
    try:
        return _in_force(Config.model_validate(settings))
    except ValidationError as error:
        raise UserError(f"{where}: {validation_line(error, Config, select(settings))}") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _in_force(config: Config) -> Config:
    """The settings, with what they allow models to do allowed from now on in this process and its actors."""
    allow(config.models.trust_remote_code, config.models.slow_bfloat16)
    return config


def default_values(selection: Selection) -> dict[str, Any]:
    """Every default, nested, where these plug-ins are selected; what has no default is left out."""
    own = {
        section: selection.classes[section].model_construct().model_dump(mode="json", by_alias=True, warnings=False)
        for section in SLOTS
    }
    return Config().model_dump(mode="json") | own


def split(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files of settings that come first, and the overrides after them."""
    count = next((n for n, word in enumerate(given) if "=" in word or not word.endswith(SUFFIXES)), len(given))
    return list(given[:count]), list(given[count:])


def _layers(files: Sequence[Layer], overrides: Sequence[Override], last: Layer) -> tuple[list[Layer], list[Override]]:
    """What conf/, files and options of groups say, lowest first, and the overrides of single keys.

    Of `last` the options alone, which win over those of the overrides.
    """
    options = groups()
    named: list[tuple[Layer, Mapping[str, str | None]]] = [(file, file.options) for file in files]
    keys = [o for o in overrides if o.key not in options or (o.value or "").startswith("{")]
    words = {o.key: o.value for o in overrides if o not in keys and o.key not in last.options}
    named += [(Layer(COMMAND_LINE, {}), words), (Layer(last.source, {}), last.options)]
    taken = {group for _, names in named for group in names}
    defaults = default_options()
    layers = [group_layer(group, option, default=True) for group, option in defaults.items() if group not in taken]
    for layer, names in named:
        for group in (group for group in defaults if names.get(group) is not None):
            layers.append(_named(group, str(names[group]), options[group], layer.source))
        layers.append(layer)
    return layers, keys


def _named(group: str, name: str, options: Mapping[str, str], source: str) -> Layer:
    """What `GROUP=NAME` sets: an option of conf/, or a plug-in from elsewhere."""
    if name in options:
        return group_layer(group, name)
    registry = recipes() if group == "recipe" else SLOTS[group].registry if group in SLOTS else None
    if registry is not None and registry.is_reference(name):
        values: dict[str, Any] = {}
        put(values, "recipe" if group == "recipe" else SLOTS[group].field, name)
        return Layer(source, values)
    if "," in name and all(word in options for word in name.split(",")):
        raise several_values(f"{group}={name}")
    where = "" if source == COMMAND_LINE else f"{source}: "
    also = "" if registry is None else ", or path/to/file.py" + ("" if registry.module else ":Name")
    known = [*options, *(() if registry is None else registry.installed())]
    raise UserError(f"{where}unknown {group} {name!r}{nearest(name, known)} (there is: {', '.join(known)}{also})")


def _take(
    layer: Layer, values: dict[str, Any], sources: dict[str, str], types: Mapping[str, Any], selection: Selection
) -> None:
    """Put what a layer says over the values so far."""
    for key, value in flat(layer.values):
        put(values, key, _of_layer(key, value, types, layer, selection))
        sources[key] = layer.source


def _selection(layers: Sequence[Layer], overrides: Sequence[Override], last: Layer) -> Selection:
    """Who is selected, as far as that can be told before all keys are known."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = merged(values, layer.values)
    types = {key: tuple[str, ...] if key in LISTS else str for key in SELECTING}
    sections = {key.partition(".")[0] for key in SELECTING}
    for override in overrides:
        if override.key in SELECTING or (override.key in sections and (override.value or "").startswith("{")):
            if override.value is None:
                drop(values, override.key)
            else:
                put(values, override.key, value_of(override, types))
    return select(merged(values, last.values))


def _is_builtin(section: str, selection: Selection) -> bool:
    return selection.names[section] in SLOTS[section].registry.builtin


def _of_layer(key: str, value: Any, types: Mapping[str, Any], layer: Layer, selection: Selection) -> Any:
    """A value of a file as its key takes it."""
    if not _exists(key, types):
        raise UserError(f"{layer.source}: {unknown_key(key, selection)}")
    if is_section(types.get(key)) and value != {}:
        raise UserError(f"{layer.source}: {section_line(key, types)}")
    return value.split(",") if is_several(types.get(key)) and isinstance(value, str) else value


def _exists(key: str, types: Mapping[str, Any]) -> bool:
    parents = itertools.accumulate(key.split("."), lambda parent, part: f"{parent}.{part}")
    return key in types or any(is_mapping(types.get(parent)) for parent in parents)


def _resolved(values: Mapping[str, Any], given: Sequence[str]) -> Any:
    """The values, interpolations such as `${seed}` filled in."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(dict(values)), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        lines = str(error).strip().splitlines()
        first = lines[0].rstrip(".") if lines else type(error).__name__
        raise UserError(f"{first} (in: {' '.join(given)})") from None
