"""`superalign recipe`: which recipes there are, and a copy of one to change."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from superalign.commands.parser import Verbs
from superalign.errors import UserError, nearest


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    actions = verbs.group("recipe", "list the recipes, or copy one to start your own from")
    verbs.add("list", list_recipes, "the recipes that need no path, each with a line", actions)
    parser = verbs.add("copy", copy, "copy a recipe into a file of yours; prints the command that runs it", actions)
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("file", metavar="FILE.py")


def list_recipes(_: argparse.Namespace) -> int:
    """Print every recipe that has a name."""
    from superalign.config.recipes import recipes

    known = recipes().names()
    for name, line in known.items():
        print(f"{name:<{max(map(len, known))}}  {line}")
    return 0


def copy(arguments: argparse.Namespace) -> int:
    """Write the copy, beside it the settings that the recipe comes with, if it has any, and say how it is run.

    Raises:
        UserError: there is no such recipe, or a file is there already or cannot be written.
    """
    from superalign.config.paths import groups, recipe_path

    shipped = groups()["recipe"]
    if arguments.recipe not in shipped:
        raise UserError(
            f"unknown recipe {arguments.recipe!r}{nearest(arguments.recipe, shipped)} (there is: {', '.join(shipped)})"
        )
    target = Path(arguments.file)
    if target.suffix != ".py":
        raise UserError(f"{target} should be a Python file: name it {target.with_suffix('.py')}")
    written = {target: recipe_path(arguments.recipe).read_text(encoding="utf-8")}
    if own := _own_settings(arguments.recipe):
        written[target.with_suffix(".yaml")] = _yaml(arguments.recipe, target, own)
    _write(written)
    settings = next((str(path) for path in written if path.suffix == ".yaml"), f"recipe={target}")
    print(f"run it with: superalign train {shlex.quote(settings)}")
    return 0


def _own_settings(recipe: str) -> dict[str, Any]:
    """What the recipe sets beside its name."""
    from superalign.config.layers import group_layer

    return {key: value for key, value in group_layer("recipe", recipe).values.items() if key != "recipe"}


def _yaml(recipe: str, target: Path, own: dict[str, Any]) -> str:
    import yaml

    settings = yaml.safe_dump({"recipe": str(target), **own}, sort_keys=False, allow_unicode=True)
    return f"# A copy of recipe={recipe} and what it sets.\n{settings}"


def _write(texts: dict[Path, str]) -> None:
    """Write files that are not there yet, none of them if one is."""
    if there := next((path for path in texts if path.exists()), None):
        raise UserError(f"{there} exists: choose another name, or remove it")
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "x", encoding="utf-8") as handle:
                handle.write(text)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror})") from None
