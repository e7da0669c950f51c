"""What the page says of the experts: how many labels, how far they can be trusted, what they cost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from superalign.errors import UserError
from superalign.feedback.escalation import distinct
from superalign.records import Judgement, Response
from superalign.report.figures import seconds
from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number
from superalign.stats.intervals import active_mean
from superalign.store.folder import RunFolder
from superalign.store.tables import read_records, table_path

if TYPE_CHECKING:
    from superalign.experts.items import ExpertAnswer, Item

Figure = dict[str, Any]
MOST_PAIRS: Final = 6
OVERSIGHT: Final = {
    "with_critic": "Right with the critique",
    "expert_alone": "Right alone, before seeing it",
    "critic_alone": "Critic alone right",
    "gain": "Oversight gain",
}
CHOSEN: Final = {
    "random": "Items were chosen at random.",
    "uncertainty": "Items were chosen by the critic's uncertainty alone: these figures hold of such items, not of all.",
    "none": "expert.policy=none asked nobody.",
    "all": "Every item was asked.",
}


def view(run: RunFolder, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `experts.html.j2` shows: groups of figures, or why there is nothing to show."""
    settings = config["expert"]
    chosen = CHOSEN.get(settings.get("policy", "default"), "")
    if curated := settings.get("curated"):
        chosen = f"{chosen} Curated labels of {curated} teach beside them, without cost.".strip()
    try:
        answers, items, flags = _read(run, settings)
    except UserError as error:
        return {"missing": f"{error}.", "chosen": chosen}
    if not answers:
        waiting = f"{len(items)} items wait, and none is answered yet" if items else "no item was escalated"
        return {"missing": f"{waiting}.", "chosen": chosen}
    from superalign.experts.statistics import summary

    found = summary(answers, hourly_rate=settings.get("hourly_rate", 0.0))
    return {
        "missing": "",
        "chosen": chosen,
        "labels": found["labels"],
        "asked": len(items),
        "simulated": found["simulated"],
        "replayed": replayed(config),
        "groups": [
            {"title": "Labels", "rows": _labels(found, flags)},
            {"title": "Agreement", "rows": _agreement(found)},
            {"title": "Errors", "rows": [*_errors(found), _critic_error(run, items, answers, config)]},
            {"title": "Oversight", "rows": _oversight(found)},
            {"title": "Effort", "rows": _effort(found, settings)},
        ],
    }


def replayed(config: Mapping[str, Any]) -> str:
    """The file of curated labels that a simulated expert answers from; empty where the testbed's oracle does."""
    settings = config["expert"]
    elsewhere = settings["source"] == "simulated" and config["data"]["seeds"] != "testbed"
    return settings.get("curated") or "" if elsewhere else ""


def simulator(config: Mapping[str, Any]) -> str:
    """What answered in the experts' place, in words."""
    source = replayed(config)
    return f"labels of {source} that were held back were replayed" if source else "the testbed's oracle answered"


def _read(run: RunFolder, settings: Mapping[str, Any]) -> tuple[list[ExpertAnswer], list[Item], int]:
    """The standing answers, the items asked, how many times one was flagged.

    Raises:
        UserError: there is no queue, or it cannot be read.
    """
    from superalign.experts.queue import ExpertQueue

    store = settings.get("store")
    if not settings["budget"]:
        raise UserError("expert.budget=0 asks nobody")
    if store is None and not run.experts_path.is_file():
        raise UserError("no item was escalated")
    with contextlib.closing(ExpertQueue.of_run(run.experts_path, store)) as queue:
        return queue.answers(), queue.items(), len(queue.flags())


def _labels(found: Mapping[str, Any], flags: int) -> list[Figure]:
    rows = [_plain(f"Lane: {lane}", str(count)) for lane, count in found["by_lane"].items()]
    rows += [_plain(f"By {name}", str(count)) for name, count in found["by_annotator"].items()]
    return [*rows, _plain("Items with two answers or more", str(found["doubles"])), _plain("Flagged", str(flags))]


def _agreement(found: Mapping[str, Any]) -> list[Figure]:
    alone = "no item has two answers" if not found["doubles"] else "all answers are the same"
    pairs = sorted(found["kappa"], key=lambda row: -(row["kappa"] or {"n": 0})["n"])
    kappas = [
        _estimate(f"Cohen's kappa, {' and '.join(row['annotators'])}", row["kappa"], "", alone)
        for row in pairs[:MOST_PAIRS]
    ]
    if len(pairs) > MOST_PAIRS:
        kappas.append(_plain("Further pairs, see superalign experts stats", str(len(pairs) - MOST_PAIRS)))
    return [
        _estimate("Expert with expert", found["expert_expert"], "%", alone),
        _estimate("Expert with critic, same items", found["expert_critic_on_doubles"], "%", alone),
        _estimate("Expert with critic, all items", found["expert_critic"], "%", "only gold items are answered"),
        _estimate("Krippendorff's alpha", found["alpha"], "", alone),
        *[
            _estimate(f"Expert with expert on {dimension}", row["expert_expert"], "%", alone)
            for dimension, row in found["dimensions"].items()
        ],
        *kappas,
    ]


def _errors(found: Mapping[str, Any]) -> list[Figure]:
    return [
        _estimate(f"Error of {name}", error, "%", found["error_unknown"].get(name, ""))
        for name, error in found["error"].items()
    ]


def _critic_error(
    run: RunFolder, items: Sequence[Item], answers: Sequence[ExpertAnswer], config: Mapping[str, Any]
) -> Figure:
    """The critic's error on all that it judged, from the items that experts saw (see `active_mean`).

    What could be drawn is one judgement of each text, and these alone are counted. A round counts once every item drawn
    in it is answered: one that waits is no item that was not drawn, and those answered first are not like the others.
    """
    name, policy = "Critic wrong, of all it judged", config["expert"].get("policy", "default")
    if source := replayed(config):
        return _missing(name, f"the labels are of answers in {source}, not of the run's own")
    if policy == "uncertainty":
        return _missing(name, "the most uncertain items alone could be drawn")
    values: dict[str, list[float]] = {}
    for answer in answers:
        values.setdefault(answer.item_id, []).append(answer.value)
    done = [number for number in run.rounds() if table_path(run.round_path(number), "judgements").is_file()]
    drawn = [item for item in items if item.round in done and item.gold is None]
    waiting = [item for item in drawn if item.id not in values]
    short = {item.round for item in waiting}
    full = [number for number in done if number not in short]
    pi = {item.id: item.pi for item in drawn if item.round in full}
    if not pi:
        unanswered = f"{len(waiting)} of {len(drawn)} drawn items are unanswered"
        return _missing(name, unanswered if waiting else "no round that is done has an answer")
    judged = [j for number in full for j in _drawable(run.round_path(number))]
    wrong = [abs(float(j.p >= 0.5) - float(np.mean(values[j.id]))) if j.id in pi else float("nan") for j in judged]
    found = active_mean(
        [min(j.p, 1 - j.p) for j in judged],
        wrong,
        [pi.get(j.id, 1.0) for j in judged],
        [j.query_id for j in judged],
    )
    told = _estimate(name, found.to_dict(), "%", "")
    left_out = f"; {len(done) - len(full)} of {len(done)} rounds left out, not all answered" if waiting else ""
    return {**told, "note": f"{told['note']} by {len(pi)} answered items{left_out}"}


def _drawable(folder: Path) -> list[Judgement]:
    responses = {r.id: r for r in read_records(folder, "responses", Response)}
    return distinct(read_records(folder, "judgements", Judgement), responses)


def _oversight(found: Mapping[str, Any]) -> list[Figure]:
    if found["oversight"] is None:
        program = found["simulated"] == found["labels"]
        why = "a program reads no critique" if program else "no blind item of known truth is answered"
        return [_missing(OVERSIGHT["gain"], why)]
    return [_estimate(title, found["oversight"][name], "%", "") for name, title in OVERSIGHT.items()]


def _effort(found: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Figure]:
    time = found["seconds"]
    if time is None:
        program = found["simulated"] == found["labels"]
        why = "a program answered" if program else "no answer tells how long it took"
        return [_missing("Time for a label", why), _missing("Cost", why)]
    rows = [
        _plain("Time for a label, median", seconds(time["median"]), f"n {time['n']}"),
        _plain("Time for a label, 90th percentile", seconds(time["p90"]), f"n {time['n']}"),
    ]
    rate = settings.get("hourly_rate", 0.0)
    return [*rows, _plain("Cost", f"{found['cost']:.2f}") if rate else _missing("Cost", "expert.hourly_rate is 0")]


def _estimate(name: str, row: Mapping[str, Any] | None, unit: str, why: str) -> Figure:
    if row is None:
        return _missing(name, why)
    found = Estimate(row["value"], row["low"], row["high"], row["n"])
    return _plain(name, number(found.value, unit), f"{interval(found, unit)}, n {found.n}")


def _plain(name: str, value: str, note: str = "") -> Figure:
    return {"name": name, "value": value, "note": note, "why": ""}


def _missing(name: str, why: str) -> Figure:
    return {"name": name, "value": "", "note": "", "why": why}
