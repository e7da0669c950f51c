"""Rows of a weak-to-strong run, and a run folder that holds them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from superalign.config.schema import Config
from superalign.store.run_writer import Plan, RunWriter

STAGES = ("load", "train", "score", "report")
METHODS = ("naive", "confidence", "product", "filter", "ensemble", "bootstrap")
STUDENTS = {
    "digits": (0.861, 0.914, 0.895, 0.902, 0.871, 0.884),
    "safety": (0.812, 0.846, 0.829, 0.807, 0.821, 0.818),
    "nli": (0.637, 0.611, 0.634, 0.641, 0.639, 0.630),
}
ENDS = {"digits": (0.836, 0.991), "safety": (0.781, 0.902), "nli": (0.638, 0.644)}
MODELS = {"digits": ("pool:4x4", "centroids:300"), "safety": ("words", "tiny:2500"), "nli": ("words", "tiny:2500")}
STRUCTURES = {"random": 0.952, "confident": 0.903, "unconfident": 0.941, "longest": 0.926, "imitable": 0.842}
LONG = "a_method_with_a_very_long_name_indeed"


def estimate(value: float, half: float = 0.012, n: int = 4970) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def share(value: float, half: float = 0.012, n: int = 4970) -> dict[str, Any]:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "n": n}


def cell(
    task: str,
    method: str,
    student: float,
    *,
    supervisor: str = "weak",
    strong: str = "",
    ceiling: float = 0.0,
    **own: Any,
) -> dict[str, Any]:
    """One comparison with figures of the size that such runs give."""
    weak, top = ENDS[task]
    top = ceiling or top
    pgr: dict[str, Any] = estimate((student - weak) / (top - weak), 0.014 / (top - weak))
    if top - weak < 0.02:
        reason = "no gap: PGR undefined (ceiling - weak = 0.0060, SE 0.0051)"
        pgr = {"value": None, "low": None, "high": None, "n": 4970, "reason": reason}
    known = pgr["value"] is not None
    steps = [index / 10 for index in range(1, 11)]
    rise = min(0.95, 0.44 + 0.3 * (top - student) / (top - weak))
    return {
        "task": task, "supervisor": supervisor, "weak": MODELS[task][0], "strong": strong or MODELS[task][1],
        "method": method, "labels": "", "oracle": False, "seeds": 10,
        "weak_performance": share(weak), "weak_to_strong": share(student), "strong_ceiling": share(top, 0.004),
        "pgr": pgr, "pgr_fieller": [pgr["low"] - 0.01, pgr["high"] + 0.02] if known else None,
        "pgr_auroc": estimate(pgr["value"] + 0.05, 0.09) if known and task == "safety" else None,
        "gain": estimate(student - weak, 0.01),
        "agreement": {"all": share(0.9), "supervisor_right": share(0.97), "supervisor_wrong": share(rise, 0.03, 810)},
        "ece": share(0.05 + 0.1 * (top - student)),
        "deception": {"score": share(0.71, 0.06, 312), "base_rate": 0.155},
        "forecast": {"misfit": 0.02 + (student - 0.6) ** 2 / 3, "simulatability": 0.9 - student / 4,
                     "overlap_density": 0.34 if task == "digits" else 0.52},
        "saliency": {"before": share(0.631), "after": share(0.712, 0.02)} if task == "safety" else None,
        "curve": {"progress": steps, "accuracy": [student - 0.1 + 0.1 * x**0.3 for x in steps],
                  "right": [0.9 + 0.07 * x for x in steps], "wrong": [0.2 + (rise - 0.2) * x**0.5 for x in steps]},
        "attacked": None, "grades": None, "notes": [], "seconds": 4.2, **own,
    }  # fmt: skip


def comparisons() -> list[dict[str, Any]]:
    """Three tasks of six methods, an oracle, error structures, several students, an attack, grades, notes."""
    cells = [
        cell(task, method, value)
        for task, values in STUDENTS.items()
        for method, value in zip(METHODS, values, strict=True)
    ]
    cells = [cells[1], cells[0], *cells[2:]]
    cells[0]["notes"] = [f"split {n}: early stop after 12 epochs" for n in (0, 3, 4)]
    cells[2]["notes"] = ["collapse guard: the ramp was stopped at 0.41"]
    cells.insert(6, cell("digits", "oracle_stop", 0.921, oracle=True))
    cells += [
        cell("digits", method, value - 0.01 * at, supervisor=structure)
        for structure, value in STRUCTURES.items()
        for at, method in enumerate(("confidence", "naive"))
    ]
    cells += [
        cell("digits", method, value, strong=strong, ceiling=top)
        for strong, top, values in (("centroids:100", 0.97, (0.905, 0.864)), ("centroids:30", 0.9, (0.83, 0.871)))
        for method, value in zip(("confidence", "naive"), values, strict=True)
    ]
    for each in cells:
        if each["task"] == "safety":
            under = ("weak_performance", "weak_to_strong", "strong_ceiling")
            each["attacked"] = {name: share(each[name]["value"] - 0.12) for name in under} | {
                "pgr": estimate(each["pgr"]["value"] - 0.1, 0.15)
            }
            grades = {"weak": share(0.7), "weak_to_strong": share(0.8), "strong_ceiling": share(0.9)}
            each["grades"] = {"harmful_refused": grades} if each["method"] == "naive" else None
    return cells


def write_fixture(root: Path, cells: list[dict[str, Any]], splits: int = 10, stop_after: int | None = None) -> Path:
    """Write the run and return its folder; with `stop_after` it stays under way."""
    settings = {"recipe": "weak_to_strong", "seed": 1, "w2s": {"seeds": splits}, "task": ("digits", "safety", "nli")}
    config = Config.model_validate(settings).model_dump()
    plan = Plan(splits - 1, STAGES, "split")
    with RunWriter.create_or_resume(config, root, "weak-to-strong-1", Console(file=io.StringIO()), plan) as run:
        for number in range(splits if stop_after is None else stop_after):
            run.begin_round(number)
            run._clock.take = lambda: {"load": 0.0, "train": 31.0, "score": 2.4, "report": 0.0, "other": 0.3, "total": 33.7}  # type: ignore[method-assign]  # fmt: skip  # noqa: E501
            run.commit_round(number, {"metrics": {}, "counts": {}, "results": cells})
        if stop_after is None:
            first = cells[0]
            names = {
                "pgr": "pgr", "weak": "weak_performance", "strong_ceiling": "strong_ceiling",
                "weak_to_strong": "weak_to_strong",
            }  # fmt: skip
            run.finish(
                {name: first[key] for name, key in names.items()},
                headline={key: first[key] for key in ("task", "method", "weak", "strong", "supervisor")},
                results=cells,
                simulated_expert=False,
                judge="the tasks' own ground truth, opened by the scorer alone",
                versions={"superalign": "0.1.0", "torch": "2.13.0"},
            )
        return run.folder
