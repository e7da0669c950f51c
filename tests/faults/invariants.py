"""What must hold of every run, whatever happened to it."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from superalign.commands.main import main
from superalign.experts.queue import ExpertQueue
from superalign.store.digests import check_digests
from superalign.store.folder import RunFolder
from superalign.store.lineage import TABLES
from superalign.store.tables import read_records
from tests.faults.injector import KINDS, TAKEN
from tests.faults.trial import ROUNDS, Trial

MEASURED = ("timing", "idle", "seconds")  # in a row: what a clock says
GRACE_S = 30.0


def broken(trial: Trial, whole: RunFolder) -> list[str]:
    """One line for each invariant that the run broke; `whole` is the same run without faults."""
    return [*endings(trial), *labels(trial, whole), *rounds(trial, whole), *left(trial)]


def complete(trial: Trial) -> bool:
    """Whether the run reached its end."""
    return bool(trial.ends) and trial.ends[-1].code == 0 and trial.run.summary() is not None


def endings(trial: Trial) -> Iterator[str]:
    """The run ends complete or with an error that names its cause; a fault costs one round at most."""
    causes = [KINDS[kind].cause for kind, _ in trial.faults if KINDS[kind].cause]
    for number, end in enumerate(trial.ends):
        if end.code in (0, -9):
            continue
        if end.error is None:
            yield f"submission {number} ended with {end.code} and no clear line: {end.said[-800:]}"
        elif not any(re.search(cause, end.error) for cause in causes):
            yield f"submission {number} failed without a cause that was injected: {end.error}"
    if not complete(trial) and (not trial.ends or trial.ends[-1].error is None):
        yield "the run neither is complete nor ended with an error"
    yield from (f"{kind}: {done}" for kind, done in trial.faults if TAKEN in done)
    begun = sum(event["event"] == "round_begun" for event in trial.run.events())
    repeated = begun - len(trial.run.rounds()) - (not complete(trial))
    if repeated > len(trial.faults):
        yield f"{repeated} rounds were begun again for {len(trial.faults)} faults"


def labels(trial: Trial, whole: RunFolder) -> Iterator[str]:
    """No label is lost or there twice, and the log of the queue is whole."""
    acknowledged = Counter(trial.acknowledged.read_text().split() if trial.acknowledged.is_file() else [])
    if not trial.run.experts_path.is_file():
        yield from ["labels were acknowledged and there is no queue"] if acknowledged else []
        return
    with redirect_stdout(io.StringIO()) as said:
        if main(["experts", "verify", str(trial.run.folder)]) != 0:
            yield f"experts verify: {said.getvalue()}"
    mine, theirs = answers(trial.run), answers(whole)
    if lost := [id for id in acknowledged if id not in {id for id, *_ in mine}]:
        yield f"acknowledged labels are lost: {lost}"
    if twice := [id for id, times in acknowledged.items() if times > 1]:
        yield f"labels were acknowledged twice: {twice}"
    if twice := [key for key, times in Counter((item, who) for _, item, who, _ in mine).items() if times > 1]:
        yield f"items were answered twice by one annotator: {twice}"
    if complete(trial) and sorted(mine) != sorted(theirs):
        yield f"the labels differ from those of the undisturbed run: {set(mine) ^ set(theirs)}"


def answers(run: RunFolder) -> list[tuple[str, str, str, float]]:
    """Every standing label: its id, item, annotator and value."""
    with closing(ExpertQueue.of_run(run.experts_path, None)) as queue:
        return [(a.id, a.item.id, a.annotator, a.value) for a in queue.answers()]


def rounds(trial: Trial, whole: RunFolder) -> Iterator[str]:
    """Every committed round loads, and is that of the undisturbed run to the last bit."""
    run = trial.run
    found = run.rounds()
    if found != list(range(len(found))) or (complete(trial) and len(found) != ROUNDS + 1):
        yield f"the committed rounds are {found}"
    if complete(trial) and [row["round"] for row in run.rows()] != found:
        yield f"metrics.jsonl has the rounds {[row['round'] for row in run.rows()]}"
    for number in found:
        mine, theirs = run.round_path(number), whole.round_path(number)
        try:
            check_digests(mine)
            for name, kind in TABLES.items():
                if read_records(mine, name, kind) != read_records(theirs, name, kind):
                    yield f"round {number}: other {name} than undisturbed"
            adapters, wanted = weights(mine), weights(theirs)
        except Exception as error:
            yield f"round {number} does not load: {error}"
            continue
        if adapters.keys() != wanted.keys() or any(not same(adapters[name], wanted[name]) for name in adapters):
            yield f"round {number}: other adapters than undisturbed"
        if row_of(mine) != row_of(theirs):
            yield f"round {number}: other figures than undisturbed"
        if complete(trial) and timeless(run.rows()[number]) != row_of(mine):
            yield f"round {number}: metrics.jsonl differs from the round's own figures"


def weights(folder: Path) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """The adapters of a round by role."""
    return {path.parent.name: load_file(path) for path in sorted(folder.glob("adapters/*/*.safetensors"))}


def same(one: dict[str, np.ndarray[Any, Any]], other: dict[str, np.ndarray[Any, Any]]) -> bool:
    """Whether two adapters are equal to the last bit."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def row_of(folder: Path) -> Any:
    """What a round says of itself, without what a clock says."""
    return timeless(json.loads((folder / "metrics.json").read_text()))


def timeless(value: Any) -> Any:
    """The same without what a clock says."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in MEASURED}
    return value


def left(trial: Trial) -> Iterator[str]:
    """No process and no temporary folder outlives the run."""
    if actors := trial.alive(GRACE_S, "ray::Host"):
        yield f"actors are left: {', '.join(map(str, actors))}"
    trial.end_nodes()
    if alive := trial.alive(GRACE_S):
        yield f"processes are left: {', '.join(map(str, alive))}"
    temporary = [path for path in trial.run.folder.rglob(".*tmp*") if path.exists()]
    temporary += [path for path in trial.sessions if path.exists()]
    if temporary:
        yield f"temporary files are left: {', '.join(map(str, temporary))}"
