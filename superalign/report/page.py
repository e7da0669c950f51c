"""The report of a run: one HTML file that needs nothing beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from superalign.errors import UserError
from superalign.report import experts, figures, judged, learning, real_text, recipes, svg, weak_to_strong
from superalign.report.figures import MetricsRow
from superalign.report.masking import without_secrets
from superalign.stats.format import interval, number
from superalign.store.clock import TOTAL
from superalign.store.disk import atomic_write, refused_writes_are_user_errors
from superalign.store.folder import RunFolder
from superalign.store.redaction import SEALED, TEXT_FIELDS, seal

if TYPE_CHECKING:
    from superalign.config.plugins import Selection

SAMPLES_SHOWN: Final = 15
HERO_HEIGHT: Final = 300
STAGE_KINDS: Final = {
    **dict.fromkeys(("attack", "respond", "critique"), "generate"),
    **dict.fromkeys(("train", "train_critic", "train_learner", "train_attacker"), "train"),
    "experts": "experts",
}


def write(run_folder: str | Path) -> Path:
    """Write `report.html` into the run folder, of a complete run or of one under way.

    Returns:
        The page's path.

    Raises:
        UserError: no run there, a damaged file in it, or the disk is full.
    """
    run = RunFolder.open(run_folder)
    with refused_writes_are_user_errors(run.folder, "writing the report"):
        atomic_write(run.report_path, render(run))
    return run.report_path


def render(run: RunFolder) -> str:
    """The page as text; texts of samples are in it only sealed."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    rows, config, summary = run.rows(), run.config(), run.summary()
    shared, kind = _shared(run, rows, config, summary), recipes.like(rows, config)
    if kind == "weak_to_strong":
        own = weak_to_strong.view(rows, config, summary)
        style = _file("page.css") + _file("weak_to_strong.css")
        return environment.get_template("weak_to_strong.html.j2").render(style=style, **shared, **own)
    if kind in recipes.TILES:
        asked = experts.view(run, config) if kind == "critic" else None
        own, name = {**recipes.view(kind, rows, config, summary), **_samples(run), "experts": asked}, "recipe.html.j2"
    else:
        own, name = {**_view(run, rows, config, summary), "experts": experts.view(run, config)}, "page.html.j2"
    return environment.get_template(name).render(style=_file("page.css"), script=_file("page.js"), **shared, **own)


def _file(name: str) -> str:
    return (resources.files("superalign.report") / name).read_text(encoding="utf-8")


def _shared(
    run: RunFolder, rows: Sequence[MetricsRow], config: Mapping[str, Any], summary: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What `layout.html.j2` shows of every run."""
    import yaml

    told = without_secrets(config)
    return {
        "name": run.name,
        "recipe": config["recipe"],
        "complete": summary is not None,
        "written": time.strftime("%-d %B %Y, %H:%M"),
        "nothing_learned": learning.nothing_learned(rows),
        "idle_roles": learning.idle_roles(rows),
        "declines": learning.declines_everything(rows),
        "unread": learning.unread(rows),
        "graded_by_model": judged.judge_said(rows),
        "timing": _timing(rows, summary),
        "differences": differences(told),
        "config": yaml.safe_dump(told, sort_keys=False, allow_unicode=True),
        "versions": summary["versions"] if summary else {},
    }


def _view(
    run: RunFolder, rows: Sequence[MetricsRow], config: Mapping[str, Any], summary: Mapping[str, Any] | None
) -> dict[str, Any]:
    expert = config["expert"]
    simulated = expert["source"] == "simulated" and expert["budget"] > 0
    return {
        "seed": config["seed"],
        "model": config["model"],
        "planned": config["rounds"],
        "done": rows[-1]["round"] if rows else None,
        "simulated": bool(summary.get("simulated_expert")) if summary else simulated,
        "error_rate": number(expert["error_rate"], "%"),
        "simulator": experts.simulator(config),
        "judge": judge_of(config, rows, summary),
        "stopped": (summary or {}).get("stopped"),
        "guards": _guards(rows),
        "finding": figures.finding(rows),
        "headline": figures.headline(rows),
        "correction": figures.correction(rows),
        "real_text": real_text.view(rows, config),
        "attacks": _chart(figures.ATTACKS, rows, ((712, HERO_HEIGHT), (350, 260))),
        "charts": _small_charts(rows, config),
        "table": _table(rows),
        **_samples(run),
    }


def _samples(run: RunFolder) -> dict[str, Any]:
    samples = run.samples()
    shown = [_sample(row) for row in figures.select_samples(samples, SAMPLES_SHOWN)]
    return {"samples": shown, "samples_total": len(samples)}


def judge_of(config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None) -> str:
    """Who graded, in words."""
    said = (summary or {}).get("judge") or next((row["judge"] for row in rows if row.get("judge")), None)
    return str(said) if said else f"evaluation.judge={config['evaluation']['judge']}"


def _guards(rows: Sequence[MetricsRow]) -> dict[str, Any] | None:
    """What the guards checked and did; None of a run without guards."""
    guarded = [row for row in rows if "guards" in row]
    if not guarded:
        return None
    return {
        "checks": sum(len(row["guards"]["checks"]) for row in guarded),
        "actions": [{"round": row["round"], **action} for row in guarded for action in row["guards"]["actions"]],
    }


def _chart(chart: figures.Chart, rows: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
    curves = figures.series(rows, chart)
    if not curves:
        return None
    rounds = (int(rows[0]["round"]), int(rows[-1]["round"]))
    drawn = [svg.line_chart(chart, curves, width, height, rounds) for width, height in sizes]
    note = figures.fill_in(chart.note, rows, chart.metrics[0][0])
    return {"title": chart.title, "note": note, "drawings": drawn}


def _small_charts(rows: Sequence[Any], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    charts = [
        found
        for index, chart in enumerate(figures.CHARTS)
        if (found := _chart(chart, rows, ((344, 200 if index else HERO_HEIGHT),)))  # the first stands beside the hero
    ]
    spent = [
        (int(row["round"]), float(row["counts"]["expert_labels"]))
        for row in rows
        if row.get("counts", {}).get("expert_labels") is not None and row["round"] > 0
    ]
    if spent:
        drawing = svg.bar_chart(spent, float(config["expert"]["budget"]), 344, 200)
        note = "Labels that training took up, by round; the budget is a hard cap on what a round asks."
        charts.append({"title": "Expert labels", "note": note, "drawings": [drawing]})
    return charts


def _timing(rows: Sequence[Any], summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if summary:
        stages, total = summary["timing"]["stages"], summary["timing"]["total_s"]
    else:
        names = dict.fromkeys(name for row in rows for name in row["timing"] if name != TOTAL)
        stages = {name: sum(row["timing"].get(name, 0.0) for row in rows) for name in names}
        total = sum(stages.values())
    if not total:
        return None
    longest = max(stages.values())
    bars = [
        {
            "name": name.replace("_", " "),
            "kind": STAGE_KINDS.get(name, "rest"),
            "seconds": figures.seconds(value),
            "share": f"{100 * value / total:.0f}",
            "width": f"{100 * value / longest:.2f}",
        }
        for name, value in stages.items()
    ]
    return {"total": figures.seconds(total), "bars": bars, "idle": _idle(rows)}


def _idle(rows: Sequence[Any]) -> str:
    """Which share of the rounds' time each service waited, in words; nothing of a run in one process."""
    told = [row for row in rows if row.get("idle")]
    if not told:
        return ""
    took = sum(row["timing"][TOTAL] for row in told)
    shares = {
        name: sum(row["idle"].get(name, 1.0) * row["timing"][TOTAL] for row in told) / took for name in told[-1]["idle"]
    }
    return " and ".join(f"the {name} was idle {number(share, '%')} of it" for name, share in shares.items())


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    sealed = seal(row)
    p, gold = row.get("p"), row.get("gold")
    return {
        "round": row["round"],
        "kind": row.get("kind") or "",
        "tactic": str(row.get("tactic") or "plain").replace("_", " "),
        "source": row.get("source") or "",
        "why": str(row.get("why") or "").replace("_", " "),
        "p": None if p is None else number(float(p), "%"),
        "gold": None if gold is None else ("acceptable" if float(gold) >= 0.5 else "not acceptable"),
        "disagree": p is not None and gold is not None and (float(p) >= 0.5) != (float(gold) >= 0.5),
        "lengths": {name: sealed[name].strip("[]").removeprefix("redacted: ") for name in TEXT_FIELDS},
        "sealed": sealed[SEALED],
    }


def _table(rows: Sequence[Any]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row.get("metrics", {})))
    body = []
    for name in names:
        unit = recipes.unit(name)
        found = [figures.estimate(row, name) for row in rows]
        cells = [None if e is None else (number(e.value, unit), interval(e, unit), e.n) for e in found]
        body.append({"name": name.replace("_", " "), "cells": cells})
    return {"rounds": [row["round"] for row in rows], "body": body}


def _filled(
    selection: Selection | None, section: str, given: Mapping[str, Any], default: Mapping[str, Any]
) -> dict[str, Any]:
    """The defaults of a section that follow from its other settings, such as the attacker's temperature."""
    if selection is None or section not in selection.classes:
        return {}
    silent = [name for name, usual in default.items() if usual is None]
    made = selection.classes[section].model_validate({n: v for n, v in given.items() if n not in silent})
    return {name: made.model_dump(mode="json", by_alias=True)[name] for name in silent}


def differences(config: Mapping[str, Any]) -> list[str]:
    """The settings that differ from the defaults of the plug-ins that the run uses, as overrides one could type."""
    from superalign.config.compose import default_values
    from superalign.config.plugins import select
    from superalign.config.schema import Config

    selection: Selection | None = None
    try:
        selection = select(config)
        default = default_values(selection)
    except UserError:  # a plug-in of the run is not here
        default = Config().model_dump(mode="json")
    changed = []
    for key, value in config.items():
        if isinstance(value, dict) and isinstance(default.get(key), dict):
            own = default[key] | _filled(selection, key, value, default[key])
            changed += [f"{key}.{name}={inner}" for name, inner in value.items() if inner != own.get(name)]
        elif value != default.get(key):
            changed.append(f"{key}={value}")
    return changed
