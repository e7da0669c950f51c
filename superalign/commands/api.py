"""Running a recipe from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.errors import UserError
from superalign.store.results import Run


def train(overrides: Sequence[str] | Mapping[str, Any] | str | Path = (), **settings: Any) -> Run:
    """Run what the settings describe, in this process, and return the run; one whose `run.name` exists resumes.

        superalign.train("my.yaml", seed=1)
        superalign.train(["recipe=selfplay", "learner=kto", "run.name=mine"])
        superalign.train({"recipe": "selfplay", "learner": "kto", "learner.beta": 0.2, "run.name": "mine"})

    A run that a guard stopped or that learned nothing is returned, too: its `summary` says so (`stopped`,
    `nothing_learned`).

    Args:
        overrides: words as on the command line, a file of settings, or values by dotted or nested keys.
        settings: further settings, which win over these.

    Raises:
        UserError: the settings are wrong, the run cannot be written, or the recipe wrote none.
        ActorLost: too many processes of the run died (`superalign.errors`).
    """
    from superalign.config.compose import load
    from superalign.config.recipes import load_recipe
    from superalign.store.run_lock import run_name

    words, values = _read(overrides)
    config = load(words, _merged(values, settings))
    recipe = load_recipe(config.recipe)
    root = Path(config.run.root)
    name = run_name(config.run.name, config.model_dump(), root)
    recipe.main(config.model_copy(update={"run": config.run.model_copy(update={"name": name})}))
    if not (root / name / "format").is_file():
        raise UserError(f"recipe={config.recipe} wrote no run in {root / name}")
    return Run(root / name)


def _read(overrides: Sequence[str] | Mapping[str, Any] | str | Path) -> tuple[list[str], Mapping[str, Any]]:
    """Words as on the command line, and values."""
    if isinstance(overrides, Mapping):
        return [], overrides
    if isinstance(overrides, str | Path):
        return [str(overrides)], {}
    return list(overrides), {}


def _merged(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted keys, of which `settings` win."""
    return dict(_flat(values)) | dict(_flat(settings))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", str(value) if isinstance(value, Path) else value))
    return found
