"""Recipes by name: those that ship, a file, a module or an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from superalign.config.paths import groups, recipe_path
from superalign.registry import Entry, Registry

if TYPE_CHECKING:
    from superalign.config.schema import Config


class Recipe(Protocol):
    """A module that runs an experiment; named by `recipe=`."""

    def main(config: Config) -> int:  # type: ignore[misc]
        """Run it; returns an exit code."""


def recipes() -> Registry:
    """The registry of recipes."""
    shipped = {name: Entry(str(recipe_path(name)), line) for name, line in groups()["recipe"].items()}
    return Registry("recipe", "recipe", f"{__name__}:Recipe", shipped, module=True)


def load_recipe(name: str) -> Any:
    """The module of a recipe, whose `main` takes a Config.

    Raises:
        UserError: there is none, it cannot be imported, or it has no `main(config)`.
    """
    return recipes().load(name)
