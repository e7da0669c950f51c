"""A kind of plug-in: which there are, and how one is found by its name."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

from superalign.errors import UserError, nearest
from superalign.registry import protocols
from superalign.registry.files import file_module

GROUP: Final = "superalign"


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in: where it is, a line for `--help`, and where its settings are if not in `Settings` of the object."""

    target: str
    help: str
    settings: str | None = None


@dataclass(frozen=True)
class Registry:
    """All plug-ins of one kind.

    Attributes:
        kind: as in the names of entry points, for example `learner`.
        setting: the setting that names one, for messages.
        protocol: `module:object` of the protocol that a plug-in must have.
        builtin: what ships with superalign, by name.
        module: whether a plug-in is a module (a recipe) and no object in one.
    """

    kind: str
    setting: str
    protocol: str
    builtin: Mapping[str, Entry] = field(default_factory=dict)
    module: bool = False

    def names(self) -> dict[str, str]:
        """Every name that needs no path, built-in or of an installed package, with a line that describes it."""
        return self.installed() | {name: entry.help for name, entry in self.builtin.items()}

    def installed(self) -> dict[str, str]:
        """The names that installed packages bring, each with where it is."""
        return {name: f"from {point.value}" for name, point in self._entry_points().items()}

    def is_reference(self, name: str) -> bool:
        """Whether this is `module:object`, a file or an entry point, which conf/ knows nothing of."""
        return name not in self.builtin and (self._says_where(name) or name in self._entry_points())

    def load(self, name: str) -> Any:
        """The object of this name, checked against the protocol.

        Raises:
            UserError: there is none, it cannot be imported, or it lacks what the protocol asks for.
        """
        found = self.find(name)
        if missing := self.missing(found):
            raise UserError(f"{self.setting}={name} is no {self.kind}: it lacks {', '.join(missing)}")
        return found

    def make(self, name: str, plugin: Mapping[str, Mapping[str, Any]]) -> Any:
        """An instance of a plug-in that needs nothing but its settings, which are in `plugin` under its short name.

        A class without `Settings` is made without arguments; what is no class is taken as it is.

        Raises:
            UserError: as `load`; a setting is unknown or wrong.
        """
        found = self.load(name)
        if not inspect.isclass(found):
            return found
        section = getattr(found, "Settings", None)
        arguments = () if section is None else (self._settings(section, name, plugin),)
        if takes := protocols.refuses(found, len(arguments)):
            asked = f"{found.__name__}({'settings' if arguments else ''})"
            raise UserError(f"{self.setting}={name} cannot be made as {asked}: it takes {takes}")
        return found(*arguments)

    def settings(self, name: str) -> Any:
        """The settings section that a plug-in brings, or None.

        Raises:
            UserError: as `load`.
        """
        entry = self.builtin.get(name)
        if entry is not None and entry.settings is not None:
            return self._object(entry.settings, name)
        return getattr(self.load(name), "Settings", None)

    def missing(self, found: Any) -> list[str]:
        """What the protocol asks for and an object does not have; methods with the parameters they must take."""
        return protocols.missing(found, self._object(self.protocol, self.protocol), self.module)

    def find(self, name: str) -> Any:
        """The object of this name, as it is.

        Raises:
            UserError: there is none, or it cannot be imported.
        """
        if name in self.builtin:
            return self._object(self.builtin[name].target, name)
        if name in (points := self._entry_points()):
            return self._object(points[name].value, name)
        if self._says_where(name):
            return self._object(name, name)
        known = self.names()
        raise UserError(
            f"unknown {self.setting} {name!r}{nearest(name, known)} (there is: {', '.join(known)}; or give "
            f"{'path/to/file.py or package.module' if self.module else 'package.module:Name or path/to/file.py:Name'})"
        )

    def _settings(self, section: Any, name: str, plugin: Mapping[str, Mapping[str, Any]]) -> Any:
        """The settings of a plug-in, checked."""
        try:
            return section(**plugin.get(short_name(name), {}))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(("plugin", short_name(name), *map(str, first["loc"])))
            raise UserError(f"{key}: {first['msg']}") from None

    def _says_where(self, name: str) -> bool:
        """Whether a name tells file or module; a module alone names a recipe, and has a dot."""
        return ":" in name or name.endswith(".py") or (self.module and "." in name)

    def _object(self, reference: str, name: str) -> Any:
        where, _, attribute = reference.partition(":")
        module = self._module(where, name)
        if not attribute:
            if self.module:
                return module
            raise UserError(f"{self.setting}={name}: say which object of it is meant, as {name}:Name")
        if not hasattr(module, attribute):
            public = [n for n in vars(module) if not n.startswith("_")]
            raise UserError(f"{self.setting}={name}: {where} has no {attribute}{nearest(attribute, public)}")
        return getattr(module, attribute)

    def _module(self, where: str, name: str) -> ModuleType:
        if where.endswith((".yaml", ".yml")):
            raise UserError(
                f"{self.setting}={name}: {where} is no {self.kind} but a file of settings: superalign train {where}"
            )
        try:
            return file_module(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        except UserError as error:
            raise UserError(f"{self.setting}={name}: {error}") from None
        except ModuleNotFoundError as error:
            if self.module and error.name and f"{where}.".startswith(f"{error.name}."):
                raise self._nowhere(name) from None
            raise UserError(f"{self.setting}={name} cannot be imported: {error}") from error
        except Exception as error:  # a plug-in's own mistake, which its author finds by the line
            at: Any = error if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)[-1]
            what = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
            line = f"{at.filename}, line {at.lineno}"
            raise UserError(
                f"{self.setting}={name} cannot be imported: {type(error).__name__}: {what} ({line})"
            ) from error

    def _nowhere(self, name: str) -> UserError:
        """Of a module that there is not, and what could have been meant."""
        meant = f"; did you mean {name}.py?" if Path(f"{name}.py").is_file() else nearest(name, self.names())
        return UserError(
            f"{self.setting}={name}: there is no module {name}{meant} (there is: {', '.join(self.names())}; or give "
            "path/to/file.py or package.module)"
        )

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        prefix = f"{self.kind}."
        return {
            point.name.removeprefix(prefix): point
            for point in metadata.entry_points(group=GROUP)
            if point.name.startswith(prefix)
        }


def short_name(name: str) -> str:
    """A plug-in's name in records and reports, and under `plugin`: what stands behind the colon, if there is one."""
    return name.rpartition(":")[2]
