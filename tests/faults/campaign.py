"""Random faults over short self-play runs: `python tests/faults/campaign.py [FAULTS] [SEED]`.

    --jobs N     trials at once (default: 2)
    --limit S    seconds that one trial may take (default: 400)
    --only KIND  only faults of this kind; may be given several times
    --place P    only trials in one process (inline), there on a small disk that only root can mount (disk), on Ray
                 (ray), on a Ray of two nodes (nodes); may be given several times
    --keep DIR   where the folders of the trials are kept; by default those of sound ones are removed

Prints one line for each fault and each run, at the end a table by kind of fault; exit code 1 if an invariant was
broken.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from superalign.store.folder import RunFolder
from tests.faults import invariants
from tests.faults.injector import KINDS, can_mount, moments
from tests.faults.trial import PLACES, OutOfTime, Trial, run_in

MOST_FAULTS = 3  # in one trial
ATTEMPTS = 3  # at injecting all: a run may end before its last fault


@dataclass(frozen=True)
class Plan:
    """What happens to one trial."""

    number: int
    place: str
    kinds: tuple[str, ...]
    seed: str


@dataclass(frozen=True)
class Result:
    """What became of a trial: the faults that were injected, and the invariants that it broke."""

    plan: Plan
    faults: tuple[tuple[str, str], ...]
    complete: bool
    errors: tuple[str, ...]
    broken: tuple[str, ...]
    seconds: float


def plans(faults: int, seed: str, kinds: list[str], places: list[str], number: int) -> list[Plan]:
    """So many faults, of all kinds alike, one to three in a trial; trials are numbered from `number` on."""
    rng = random.Random(seed)
    drawn = [kinds[i % len(kinds)] for i in range(faults)]
    rng.shuffle(drawn)
    waiting: dict[str, list[str]] = {}
    found: list[tuple[str, tuple[str, ...]]] = []
    for kind in drawn:
        place = rng.choice([place for place in KINDS[kind].places if place in places])
        waiting.setdefault(place, []).append(kind)
        # There is one node that can be killed.
        if len(waiting[place]) >= rng.randint(1, MOST_FAULTS) or kind == "node killed":
            found.append((place, tuple(waiting.pop(place))))
    found += [(place, tuple(some)) for place, some in waiting.items()]
    return [Plan(number + i, place, some, f"{seed} {i}") for i, (place, some) in enumerate(found)]


def tried(plan: Plan, folder: Path, whole: RunFolder | None, limit_s: float) -> Result:
    """Carry out a plan and check what is left; `whole` is the undisturbed run."""
    began, rng = time.monotonic(), random.Random(plan.seed)
    trial = Trial(folder, plan.place, limit_s)
    try:
        with trial:
            strike(plan, trial, rng)
            told = invariants.broken(trial, whole or trial.run)
            ended = invariants.complete(trial)
            if told and plan.place == "disk":  # which is not there any longer afterwards
                shutil.copytree(trial.run.folder, folder / "kept")
    except OutOfTime as error:
        told, ended = [str(error)], False
    errors = tuple(end.error for end in trial.ends if end.error)
    return Result(plan, tuple(trial.faults), ended, errors, tuple(told), time.monotonic() - began)


def strike(plan: Plan, trial: Trial, rng: random.Random) -> None:
    """Inject the faults of a plan at random moments, as many as the run lasts for, and wait for the run's end."""
    for moment, kind in moments(plan.kinds, rng):
        if not trial.reach(moment.round, moment.stage, moment.delay_s):
            return
        if done := KINDS[kind].inject(trial, rng):
            trial.faults.append((kind, done))
            say(f"trial {plan.number} ({plan.place}), round {moment.round}, {moment.stage}: {done}")
    trial.finish()


def injected(results: list[Result]) -> int:
    """How many faults there were."""
    return sum(len(result.faults) for result in results)


def say(line: str) -> None:
    """One line of the log."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def tell(result: Result) -> None:
    """Say how a trial ended."""
    state = "complete" if result.complete else "NOT complete"
    errors = f", {len(result.errors)} clear errors on the way" if result.errors else ""
    kinds = ", ".join(kind for kind, _ in result.faults) or "no fault"
    say(f"trial {result.plan.number}: {state} in {result.seconds:.0f} s{errors} after {kinds}")
    for line in result.broken:
        say(f"trial {result.plan.number}: BROKEN: {line}")


def table(results: list[Result]) -> str:
    """Counts by kind of fault: injected, in trials that ended complete or with an error, that broke an invariant."""
    rows = [f"{'kind of fault':<24}{'injected':>10}{'complete':>10}{'error':>8}{'broken':>8}"]
    counts = Counter[tuple[str, str]]()
    for result in results:
        outcome = "broken" if result.broken else "complete" if result.complete else "error"
        for kind, _ in result.faults:
            counts.update([(kind, "injected"), (kind, outcome), ("all", "injected"), ("all", outcome)])
    for kind in (*KINDS, "all"):
        if counts[kind, "injected"]:
            all_, whole, error, bad = (counts[kind, name] for name in ("injected", "complete", "error", "broken"))
            rows.append(f"{kind:<24}{all_:>10}{whole:>10}{error:>8}{bad:>8}")
    return "\n".join(rows)


def main() -> int:
    """Run a campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="?", type=int, default=100)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=400.0)
    parser.add_argument("--only", action="append", choices=list(KINDS))
    parser.add_argument("--place", action="append", choices=list(PLACES))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    places = given.place or [place for place in PLACES if place != "disk" or can_mount()]
    kinds = [kind for kind in given.only or KINDS if set(KINDS[kind].places) & set(places)]
    base, began = given.keep or Path(tempfile.mkdtemp(prefix="superalign-faults-")), time.monotonic()
    say(f"{given.faults} faults, seed {given.seed}, in {', '.join(places)}; folders in {base}")

    reference = tried(Plan(-1, "inline", (), "none"), base / "undisturbed", None, given.limit)
    if reference.broken or not reference.complete:
        say(f"the undisturbed run failed: {'; '.join((*reference.broken, *reference.errors))}")
        return 1
    whole = run_in(base / "undisturbed")
    say(f"the undisturbed run took {reference.seconds:.0f} s")

    def one(plan: Plan) -> Result:
        folder = base / f"trial-{plan.number}"
        result = tried(plan, folder, whole, given.limit)
        tell(result)
        if not result.broken and not given.keep:
            shutil.rmtree(folder)
        return result

    results: list[Result] = []
    for attempt in range(ATTEMPTS):
        if missing := given.faults - injected(results):
            todo = plans(missing, f"campaign {given.seed} {attempt}", kinds, places, len(results))
            with ThreadPoolExecutor(given.jobs) as pool:
                results += pool.map(one, todo)
    print(table(results))
    faulty = sum(bool(result.broken) for result in results)
    say(f"{injected(results)} faults in {len(results)} runs, {time.monotonic() - began:.0f} s; {faulty} runs broken")
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
