"""From rows scored on every split to the figures of a run: pooled over splits, each with its interval."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superalign.stats.estimate import Estimate
from superalign.weak_to_strong.metrics.agreement import (
    agreement,
    confident_disagreement,
    deception,
    expected_calibration,
    expected_overconfidence,
    saliency,
)
from superalign.weak_to_strong.metrics.pgr import (
    Scores,
    auroc_gap_recovered,
    performance_gap_recovered,
    pooled,
    pooled_difference,
)
from superalign.weak_to_strong.metrics.scorer import WHO, Columns
from superalign.weak_to_strong.study import Trial

JUDGE: Final = "the tasks' own ground truth, opened by the scorer alone"
SCORES, TRIALS = "scores.parquet", "trials.json"
KEYS = ("task", "supervisor", "weak", "strong", "method")
Split = dict[str, Columns]  # the tables of one trial by part
Draws = tuple[int, int]  # how often is resampled, and by which seed


def save(folder: Path, trials: Sequence[Trial]) -> None:
    """Write one split's trials: rows as Parquet, the rest as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for trial in trials:
        for columns in trial.columns:
            size = len(columns["truth"])
            named = {key: [trial.info[key]] * size for key in KEYS}
            tables.append(pa.table({**named, **{k: v.tolist() for k, v in columns.items()}}))
    pq.write_table(pa.concat_tables(tables, promote_options="default"), folder / SCORES, compression="zstd")
    text = json.dumps([trial.info for trial in trials], indent=1)
    (folder / TRIALS).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Iterator[tuple[dict[str, Any], Split]]:
    """(info, tables by part) of every trial of one split, in the order they were run."""
    import pyarrow.parquet as pq

    frame = pq.read_table(folder / SCORES).to_pandas()
    parts = {keys: rows for keys, rows in frame.groupby([*KEYS, "part"], sort=False)}
    for info in json.loads((folder / TRIALS).read_text(encoding="utf-8")):
        key = tuple(info[name] for name in KEYS)
        mine = {keys[-1]: rows for keys, rows in parts.items() if keys[:-1] == key}
        yield info, {part: {name: rows[name].to_numpy() for name in rows} for part, rows in mine.items()}


def cells(folders: Sequence[Path], seed: int, resamples: int) -> list[dict[str, Any]]:
    """Every study and method, pooled over the splits in `folders`, as summary.json and the report have them."""
    trials: dict[tuple[str, ...], list[tuple[dict[str, Any], Split]]] = {}
    for folder in folders:
        for info, split in load(folder):
            trials.setdefault(tuple(info[name] for name in KEYS), []).append((info, split))
    return [_cell(found, seed, resamples) for found in trials.values()]


def headline(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of the first cell under the names of summary.json."""
    names = {
        "pgr": "pgr",
        "weak": "weak_performance",
        "strong_ceiling": "strong_ceiling",
        "weak_to_strong": "weak_to_strong",
    }
    return {name: found[0][key] for name, key in names.items()}


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The results in lines, study by study."""

    def percent(e: Mapping[str, Any]) -> str:
        return f"{100 * e['value']:5.1f} [{100 * e['low']:.1f}, {100 * e['high']:.1f}]"

    lines, study = [], None
    for cell in found:
        if study != (study := tuple(cell[key] for key in KEYS[:-1])):
            task, supervisor, weak, strong = study
            errors = "" if supervisor == "weak" else f", errors {supervisor}"
            lines.append(f"{task}: {weak}{errors} -> {strong}, {cell['seeds']} splits, n {cell['pgr']['n']}, % [95 %]")
            lines.append(f"  weak {percent(cell['weak_performance'])}  ceiling {percent(cell['strong_ceiling'])}")
        recovered = cell["pgr"]
        value = recovered["reason"] if recovered["value"] is None else f"PGR {percent(recovered)}"
        name = f"{cell['method']}{' (oracle)' if cell['oracle'] else ''}"
        lines.append(f"  {name:<12} {percent(cell['weak_to_strong'])}  {value}")
    return lines


def _cell(found: Sequence[tuple[dict[str, Any], Split]], seed: int, resamples: int) -> dict[str, Any]:
    first = found[0][0]
    tests = [split["test"] for _, split in found]
    kept = {name: first[name] for name in (*KEYS, "labels")}
    draws = (resamples, seed)
    has_classes = tests[0]["student_class"][0] >= 0
    scores = _scores(tests)
    pgr = performance_gap_recovered(scores, *draws)
    return {
        **kept,
        "oracle": any(info["oracle"] for info, _ in found),
        "seeds": len(found),
        **_performances(tests, draws),
        "pgr": pgr.to_dict(),
        "pgr_fieller": None if pgr.fieller is None else list(pgr.fieller),
        "pgr_auroc": _auroc(tests) if has_classes else None,
        "gain": _dict(
            pooled_difference(_of(tests, "student_score"), _of(tests, "weak_score"), _of(tests, "cluster"), *draws)
        ),
        "agreement": _agreement(tests, draws) if has_classes else None,
        "ece": _ece(tests, draws) if has_classes else None,
        "confidence": _confidence(tests, draws) if has_classes else None,
        "deception": _deception(scores, draws),
        "forecast": _mean_of([info["forecast"] for info, _ in found]),
        "saliency": _saliency(tests, draws),
        "curve": _mean_curve([info["curve"] for info, _ in found]),
        "attacked": _attacked(found, draws),
        "grades": _grades(found, draws),
        "notes": [f"split {n}: {note}" for n, (info, _) in enumerate(found) for note in info["notes"]],
        "seconds": sum(info["seconds"] for info, _ in found),
    }


def _of(tables: Sequence[Columns], name: str) -> list[NDArray[Any]]:
    return [table[name] for table in tables]


def _scores(tables: Sequence[Columns], what: str = "score") -> list[Scores]:
    weak, student, ceiling = (_of(tables, f"{who}_{what}") for who in WHO)
    return [Scores(*each) for each in zip(weak, student, ceiling, _of(tables, "cluster"), strict=True)]


def _performances(tables: Sequence[Columns], draws: Draws) -> dict[str, Any]:
    """Weak, student and ceiling, pooled."""
    names = ("weak_performance", "weak_to_strong", "strong_ceiling")
    return {
        name: _dict(pooled(_of(tables, f"{who}_score"), _of(tables, "cluster"), *draws))
        for name, who in zip(names, WHO, strict=True)
    }


def _auroc(tables: Sequence[Columns]) -> dict[str, Any] | None:
    if any(set(np.unique(each["truth"])) != {0, 1} for each in tables):
        return None
    return auroc_gap_recovered(_scores(tables, "p"), [each["truth"] for each in tables]).to_dict()


def _agreement(tables: Sequence[Columns], draws: Draws) -> dict[str, Any]:
    student, supervisor, truth = (_of(tables, name) for name in ("student_class", "weak_class", "truth"))
    found = agreement(student, supervisor, truth, _of(tables, "cluster"), *draws)
    return {
        "all": _dict(found.all),
        "supervisor_right": _dict(found.supervisor_right),
        "supervisor_wrong": _dict(found.supervisor_wrong),
    }


def _binary(tables: Sequence[Columns]) -> bool:
    return all(max(each["truth"].max(), each["student_class"].max()) <= 1 for each in tables)


def _ece(tables: Sequence[Columns], draws: Draws) -> dict[str, Any] | None:
    label = "truth" if _binary(tables) else "student_score"
    return _dict(expected_calibration(_of(tables, "student_p"), _of(tables, label), _of(tables, "cluster"), *draws))


def _confidence(tables: Sequence[Columns], draws: Draws) -> dict[str, Any] | None:
    """How sure the student is where it errs, and where its supervisor says otherwise; of two classes only."""
    if not _binary(tables):
        return None
    student, weak = ([np.stack([1 - p, p], 1) for p in _of(tables, f"{who}_p")] for who in ("student", "weak"))
    clusters = _of(tables, "cluster")
    return {
        "overconfidence": _dict(expected_overconfidence(student, _of(tables, "truth"), clusters, *draws)),
        "confident_disagreement": _dict(
            confident_disagreement(student, weak, clusters, resamples=draws[0], seed=draws[1])
        ),
    }


def _deception(scores: Sequence[Scores], draws: Draws) -> dict[str, Any]:
    found = deception(scores, *draws)
    return {"score": _dict(found.score), "base_rate": found.base_rate}


def _attacked(found: Sequence[tuple[dict[str, Any], Split]], draws: Draws) -> dict[str, Any] | None:
    tables = [split["attacked"] for _, split in found if "attacked" in split]
    if not tables:
        return None
    return {**_performances(tables, draws), "pgr": performance_gap_recovered(_scores(tables), *draws).to_dict()}


def _grades(found: Sequence[tuple[dict[str, Any], Split]], draws: Draws) -> dict[str, Any] | None:
    names = dict.fromkeys(part for _, split in found for part in split if part not in ("test", "attacked"))
    grades = {}
    for name in names:
        pooled_figures = _performances([split[name] for _, split in found if name in split], draws)
        grades[name] = {"weak": pooled_figures.pop("weak_performance"), **pooled_figures}
    return grades or None


def _saliency(tables: Sequence[Columns], draws: Draws) -> dict[str, Any] | None:
    """What probes read from the students that have them; None where none has."""
    kept = [each for each in tables if "probe_before" in each and not np.isnan(each["probe_before"]).any()]
    if not kept:
        return None
    before, after, clusters = (_of(kept, name) for name in ("probe_before", "probe_after", "cluster"))
    return saliency(before, after, clusters, *draws).to_dict()


def _mean_of(found: Sequence[Mapping[str, float | None] | None]) -> dict[str, float | None] | None:
    """Means by name over the splits that have them."""
    held = [each for each in found if each is not None]
    if not held:
        return None
    values = {name: [value for each in held if (value := each[name]) is not None] for name in held[0]}
    return {name: float(np.mean(each)) if each else None for name, each in values.items()}


def _mean_curve(found: Sequence[Mapping[str, list[float]] | None]) -> dict[str, list[float]] | None:
    """Means by step over the splits, which all have the same steps."""
    held = [each for each in found if each is not None]
    names = [name for name in held[0] if all(each[name] for each in held)] if held else []
    sizes = {len(each["progress"]) for each in held}
    if len(sizes) != 1:
        return None
    means = {name: np.mean([each[name] for each in held], axis=0).tolist() for name in names}
    return {"right": [], "wrong": [], **means}


def _dict(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()
