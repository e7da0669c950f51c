"""Which class of settings a section has: that of the plug-in which the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import Field, create_model

from superalign.config.sections import (
    AttackerConfig,
    CriticConfig,
    EvaluationConfig,
    JudgeConfig,
    LearnerConfig,
    Section,
)
from superalign.errors import UserError
from superalign.registry import (
    ATTACKERS,
    CRITICS,
    FAMILIES,
    JUDGES,
    LEARNERS,
    METHODS,
    SUITES,
    TASKS,
    Registry,
    short_name,
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A section whose settings are those of a plug-in.

    Attributes:
        registry: of the plug-ins.
        field: the setting that names one, for example `learner.algorithm`.
        base: what the settings of every such plug-in are a subclass of.
    """

    registry: Registry
    field: str
    base: type[Section]

    @property
    def default(self) -> str:
        """Who is named where nobody is."""
        base = EvaluationConfig if self.base is JudgeConfig else self.base
        return str(base.model_fields[self.field.rpartition(".")[2]].default)


SLOTS: Final = {
    "attacker": Slot(ATTACKERS, "attacker.kind", AttackerConfig),
    "critic": Slot(CRITICS, "critic.kind", CriticConfig),
    "learner": Slot(LEARNERS, "learner.algorithm", LearnerConfig),
    "judge": Slot(JUDGES, "evaluation.judge", JudgeConfig),
}
LISTS: Final = {
    "attacker.families": FAMILIES,
    "evaluation.heldout_families": replace(FAMILIES, setting="evaluation.heldout_families"),
    "evaluation.suites": SUITES,
    "task": TASKS,
    "method": METHODS,
}
"""Settings that name several plug-ins, whose own settings are `plugin.NAME.KEY`."""
SELECTING: Final = frozenset({*LISTS, *(slot.field for slot in SLOTS.values())})


@dataclass(frozen=True, slots=True)
class Selection:
    """Who is selected by some settings: for each section the name, and the class of its settings."""

    names: Mapping[str, str]
    classes: Mapping[str, type[Section]]


def select(values: Mapping[str, Any]) -> Selection:
    """What nested settings select, and the defaults where they are silent.

    Raises:
        UserError: there is no such plug-in, it cannot be imported, or its settings are of the wrong class.
    """
    names = {section: _name(values, slot) for section, slot in SLOTS.items()}
    classes = {section: settings_class(section, name) for section, name in names.items()}
    return Selection(names, classes | {"plugin": plugins_class(values)})


def settings_class(section: str, name: str) -> type[Section]:
    """The class of a plug-in's settings. Of what is built in, learner algorithms alone are imported; they are light.

    Raises:
        UserError: as `select`.
    """
    slot = SLOTS[section]
    if section == "judge" and name == slot.default:
        return slot.base
    found = own_settings(slot.registry, name) or slot.base
    if not issubclass(found, slot.base):
        raise UserError(
            f"{slot.registry.setting}={name}: its Settings must be a subclass of "
            f"superalign.config.sections.{slot.base.__name__}"
        )
    return found


def own_settings(registry: Registry, name: str) -> type[Section] | None:
    """The class of the settings that a plug-in brings itself; of a built-in what its entry says.

    Raises:
        UserError: as `select`.
    """
    entry = registry.builtin.get(name)
    if entry is not None and entry.settings is None and registry is not LEARNERS:
        return None
    found = registry.settings(name)
    if found is not None and not (isinstance(found, type) and issubclass(found, Section)):
        raise UserError(
            f"{registry.setting}={name}: its Settings must be a subclass of superalign.config.sections.Section"
        )
    return found


def plugins_class(values: Mapping[str, Any]) -> type[Section]:
    """The section `plugin`: a key for each selected family, task, method and suite that has settings.

    Raises:
        UserError: as `select`; or two of them have the same name.
    """
    found: dict[str, type[Section]] = {}
    for field, registry in LISTS.items():
        for name in _names(values, field):
            key, own = short_name(name), own_settings(registry, name)
            if own is not None and found.setdefault(key, own) is not own:
                raise UserError(f"plugin.{key} would be the settings of two plug-ins: rename one of these classes")
    fields: dict[str, Any] = {
        key: (own, Field(default_factory=dict, validate_default=True, description=f"settings of {key}"))
        for key, own in found.items()
    }
    return create_model("Plugins", __base__=Section, **fields)


def owners(section: str, key: str) -> list[str]:
    """The built-ins whose settings have a key."""
    slot = SLOTS.get(section)
    names = slot.registry.builtin if slot else ()
    return [name for name in names if key in settings_class(section, name).model_fields]


def _name(values: Mapping[str, Any], slot: Slot) -> str:
    found = _get(values, slot.field)
    return found if isinstance(found, str) else slot.default


def _names(values: Mapping[str, Any], field: str) -> tuple[str, ...]:
    found = _get(values, field)
    if isinstance(found, str):
        return tuple(found.split(","))
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list | tuple) else ()


def _get(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)
    return found
