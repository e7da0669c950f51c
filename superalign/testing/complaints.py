"""How the checks complain: one sentence that names the plug-in, whatever went wrong in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from superalign.errors import UserError


@dataclass(frozen=True, slots=True)
class Subject:
    """The plug-in that is checked.

    Attributes:
        kind: of plug-in, for example `learner`.
        name: as settings name it.
    """

    kind: str
    name: str

    @classmethod
    def of(cls, kind: str, plugin: str | type) -> Subject:
        """From a class or its name.

        Raises:
            AssertionError: the class cannot be named, since it lies in a function or another class.
        """
        if isinstance(plugin, str):
            return cls(kind, plugin)
        subject = cls(kind, f"{plugin.__module__}:{plugin.__qualname__}")
        subject.require("." not in plugin.__qualname__, "is no class at the top of a module, by which it can be found")
        return subject

    def require(self, condition: object, otherwise: str) -> None:
        """Complain unless the condition holds."""
        if not condition:
            raise AssertionError(f"{self.kind} {self.name} {otherwise}")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Complain of any exception of the plug-in in this block; it is the cause of the complaint."""
        try:
            yield
        except AssertionError as error:
            if str(error).startswith(f"{self.kind} {self.name} "):
                raise
            raise AssertionError(f"{self.kind} {self.name}: {what} fails an assertion: {error}") from error
        except UserError as error:
            raise AssertionError(f"{self.kind} {self.name}: {what} is refused: {error}") from error
        except Exception as error:
            raise AssertionError(
                f"{self.kind} {self.name}: {what} raises {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error

    def require_figures(self, found: Any, what: str) -> None:
        """Complain of what is no dict of finite numbers."""
        self.require(isinstance(found, Mapping), f"gives {type(found).__name__} and no dict of figures from {what}")
        for name, value in found.items():
            fine = isinstance(name, str) and isinstance(value, int | float) and math.isfinite(value)
            self.require(fine, f"gives from {what} the figure {name!r} = {value!r}, which is no finite number")

    def through_json(self, state: Any) -> Any:
        """The state as a committed round gives it back."""
        with self.doing("keeping state() as JSON"):
            return json.loads(json.dumps(state, allow_nan=False))
