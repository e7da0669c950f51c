"""The check of recipes: a small run, complete, with figures and intervals, and nothing left to do in it."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from superalign.config.compose import load
from superalign.config.recipes import load_recipe
from superalign.report.learning import EXIT_STATUS
from superalign.store.folder import RunFolder
from superalign.testing.complaints import Subject
from superalign.testing.testbed import MODEL

SMALLEST: Final = (
    *(f"model={MODEL}", "rounds=1", "cluster=inline", "cluster.threads=1", "data.limit=80", "expert.budget=6"),
    *("attacker.seeds=4", "learner.samples=2", "refine.queries=8", "reward.pairs=80"),
    *("evaluation.prompts=1", "evaluation.benign=4", "evaluation.lookalikes=4", "evaluation.critic_probe=8"),
    *("evaluation.final_factor=1", "evaluation.bootstrap=20", "w2s.seeds=1", "w2s.bootstrap=20", "w2s.epochs=1"),
)
"""Settings that make a run as short as it can be, whoever plays in it."""


def check_recipe(recipe: str, overrides: Sequence[str] = ()) -> None:
    """Check a recipe.

    It runs to the end at the smallest settings, at which roles may learn nothing, with a summary whose figures lie in
    their intervals. The same command once more does nothing, and says so with exit code 0.

    Args:
        recipe: what `recipe=` would be: a path, a module, or a name.
        overrides: further settings, as on the command line; they come after those of `SMALLEST`.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    subject = Subject("recipe", recipe)
    with tempfile.TemporaryDirectory() as root:
        own = (f"run.root={root}", "run.name=checked")
        with subject.doing("set-up"):
            module = load_recipe(recipe)
            config = load([f"recipe={recipe}", *SMALLEST, *overrides, *own])
        with subject.doing("main(config)"):
            code = module.main(config)
        subject.require(code in (0, EXIT_STATUS), f"returns {code!r} from main(config) and not 0")
        folder = Path(root) / "checked"
        subject.require((folder / "summary.json").is_file(), "writes no summary.json: run.finish(...) does")
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        subject.require(summary.get("status") == "complete", f"leaves the run as {summary.get('status')!r}")
        learned = "nothing_learned" not in summary
        told = "learned something" if learned else "learned nothing"
        subject.require((code == 0) == learned, f"returns {code!r} from main(config) of a run that {told}")
        _check_figures(subject, summary.get("metrics"))
        rounds, rows = len(list(folder.glob("rounds/*"))), RunFolder.open(folder).rows()
        with subject.doing("main(config) of a complete run"):
            code = module.main(config)
        subject.require(code == 0, f"returns {code!r} and not 0 from main(config) of a complete run")
        same = len(list(folder.glob("rounds/*"))) == rounds and RunFolder.open(folder).rows() == rows
        subject.require(same, "does more rounds of a complete run")


def _check_figures(subject: Subject, metrics: Any) -> None:
    figures = _estimates(metrics)
    subject.require(figures, "has no figure with an interval in summary.json")
    for name, e in figures:
        fine = all(map(math.isfinite, (e["low"], e["value"], e["high"]))) and e["low"] <= e["value"] <= e["high"]
        subject.require(fine, f"gives {name} = {e['value']} with the interval {e['low']} to {e['high']}")


def _estimates(found: Any, name: str = "metrics") -> list[tuple[str, Mapping[str, Any]]]:
    """Every figure with an interval, however deep, but those that are undefined."""
    if not isinstance(found, Mapping):
        return []
    if {"value", "low", "high"} <= found.keys():
        return [] if found["value"] is None else [(name, found)]
    return [each for key, inner in found.items() for each in _estimates(inner, f"{name}.{key}")]
