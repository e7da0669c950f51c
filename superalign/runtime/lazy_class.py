"""Classes that are imported where their objects are made, so that a driver pays for no library of its actors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True)
class LazyClass(Generic[T]):
    """A class by its name; called as the class is.

    Attributes:
        module, name: where it is.
        like: protocols that have its methods, for who must know them before.
    """

    module: str
    name: str
    like: tuple[type, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        """Import it and make one."""
        return cast(T, getattr(import_module(self.module), self.name)(*args, **kwargs))


def methods(cls: Callable[..., Any]) -> frozenset[str]:
    """The public methods of a class, imported or not."""
    classes = cls.like if isinstance(cls, LazyClass) else (cls,)
    found = [name for each in classes for name, _ in inspect.getmembers(each, callable)]
    return frozenset(name for name in found if not name.startswith("_"))
