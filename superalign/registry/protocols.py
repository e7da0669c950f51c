"""What a protocol asks for and a plug-in does not have."""

from __future__ import annotations

import inspect
from typing import Any


def missing(found: Any, protocol: Any, module: bool = False) -> list[str]:
    """What is missing, by name; methods with the parameters that they must take.

    What a class inherits from the protocol itself counts, unless that is abstract or an attribute without a value.

    Args:
        found: a class, an object or a module.
        protocol: what it should be. If it has an `__init__`, a class is asked for that is made so.
        module: whether `found` is a module, whose functions have no `self`.
    """
    lacking = [_lacks(found, name, member, module) for name, member in _members(protocol).items()]
    return [text for text in (*lacking, _made_otherwise(found, protocol)) if text]


def _members(protocol: Any) -> dict[str, Any]:
    """The public methods of a protocol and of its bases, and its attributes, which are None here."""
    found: dict[str, Any] = {}
    for base in reversed(protocol.__mro__):
        if _is_protocol(base):
            found |= {n: None for n in inspect.get_annotations(base) if not n.startswith("_")}
            methods = {n: m for n, m in base.__dict__.items() if callable(getattr(m, "__func__", m))}
            found |= {n: m for n, m in methods.items() if not n.startswith("_")}
    return found


def _made_otherwise(found: Any, protocol: Any) -> str | None:
    """How the `__init__` of a protocol is told to whoever is made in another way."""
    made = next((base.__dict__["__init__"] for base in protocol.__mro__ if "__init__" in base.__dict__), object)
    if made is object or made.__module__ != protocol.__module__:  # typing gives every protocol one of its own
        return None
    asked = _parameters(made)
    told = f"__init__({', '.join(asked)})"
    if not inspect.isclass(found):
        return f"{told} (it is no class)"
    given = refuses(found, len(asked))
    return given and f"{told} (it has __init__{given})"


def _lacks(found: Any, name: str, member: Any, module: bool) -> str | None:
    """How a missing member, or one that cannot be called as the protocol says, is told; None where all is well."""
    if member is None:
        bases = [base for base in getattr(found, "__mro__", ()) if not _is_protocol(base)]
        declared = any(name in getattr(base, "__annotations__", {}) for base in bases)
        return None if declared or hasattr(found, name) else name
    of_class = isinstance(member, classmethod | staticmethod)
    asked = _parameters(getattr(member, "__func__", member), module)
    told = f"{'classmethod ' if of_class and inspect.isclass(found) else ''}{name}({', '.join(asked)})"
    if not callable(got := getattr(found, name, None)) or getattr(got, "__isabstractmethod__", False):
        return told
    unbound = not of_class and inspect.isclass(found) and inspect.isfunction(inspect.getattr_static(found, name))
    given = refuses(got, len(asked) + unbound)
    return given and f"{told} (it has {name}{given})"


def refuses(function: Any, count: int) -> str | None:
    """The parameters of what cannot be called with so many arguments; None of what can, or whose are not known."""
    try:
        given = inspect.signature(function)
    except ValueError:
        return None
    try:
        given.bind(*([None] * count))
    except TypeError:
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in given.parameters.values()]
        return str(inspect.Signature(plain))
    return None


def _parameters(function: Any, module: bool = False) -> list[str]:
    return [name for name in inspect.signature(function).parameters if module or name not in ("self", "cls")]


def _is_protocol(base: type) -> bool:
    return bool(base.__dict__.get("_is_protocol", False))
