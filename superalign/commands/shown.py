"""Figures as the terminal shows them: which of a run's, by which names, in which units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from superalign.stats.estimate import Estimate

STUDY: Final = ("pgr", "weak", "weak_to_strong", "strong_ceiling")  # of the first comparison of a study
SHORT: Final = {"pgr": "gap recovered", "weak": "weak supervisor"}
MOST: Final = 6  # figures of a run that get a column


def unit(metric: str) -> str:
    """ "%" of what is a share, "" of a plain number."""
    from superalign.report import recipes

    return "%" if metric in STUDY else recipes.unit(metric)


def title(metric: str) -> str:
    """What a metric is called in a table."""
    return SHORT.get(metric) or metric.removesuffix("_rate").replace("_rate_", "_").replace("_", " ")


def told(metric: str, found: Estimate, whole: bool = True) -> str:
    """A figure, `whole` with its interval."""
    from superalign.stats.format import interval, number

    value = number(found.value, unit(metric))
    return f"{value} [{interval(found, unit(metric))}]" if whole else value


def headline(rows: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """The metrics that are shown of a run like this recipe: those of its report, else whatever was measured."""
    from superalign.report import figures, recipes

    known: Mapping[str, Sequence[str]] = {name: [m for m, *_ in tiles] for name, tiles in recipes.TILES.items()}
    chosen = known.get(kind) or (STUDY if kind == "weak_to_strong" else [name for name, *_ in figures.HEADLINE])
    measured = list(dict.fromkeys(name for row in rows for name in row.get("metrics", {})))
    can_be_told = [name for name in measured if any(figures.estimate(row, name) for row in rows)]
    return ([name for name in chosen if name in can_be_told] or can_be_told)[:MOST]
