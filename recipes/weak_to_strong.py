"""Weak-to-strong generalization: a strong student learns from a weaker supervisor (arXiv 2312.09390, 2410.12621).

    superalign train recipe=weak_to_strong task=digits,safety method=naive,confidence

For every split: the supervisor is trained on half 1, labels half 2, the student learns from those labels, the ceiling
from the truth, and all three are scored on held-out rows. The performance gap recovered is pooled over the splits.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from superalign.config.schema import Config
from superalign.errors import ActorLost, UserError, nearest
from superalign.loop.rounds import open_run
from superalign.loop.workers import versions
from superalign.report import page
from superalign.report.writers import Writers, flatten
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import joined, start
from superalign.store.run import Plan, Run
from superalign.weak_to_strong.methods import label_transforms
from superalign.weak_to_strong.methods.error_structures import STRUCTURES
from superalign.weak_to_strong.methods.registry import METHODS, between_models, suited
from superalign.weak_to_strong.metrics import aggregate
from superalign.weak_to_strong.study import Study, preflight
from superalign.weak_to_strong.tasks.registry import TASKS
from superalign.weak_to_strong.worker_pool import Workshop, workshop

STAGES = ("load", "train", "score")


def studies(config: Config) -> list[Study]:
    """Every task with every supervisor, weak and strong model asked for; the task's own models where none is named.

    Raises:
        UserError: a name is unknown, a method suits no task, or one file is given for several tasks.
    """
    for key, words, known in (
        ("task", config.task, TASKS),
        ("method", config.method, METHODS),
        ("w2s.supervisor", config.w2s.supervisor, STRUCTURES),
    ):
        for word in words:
            if word not in known:
                raise UserError(f"unknown {key} {word!r}{nearest(word, known)} (there is: {', '.join(known)})")
        if not words and key != "method":
            raise UserError(f"{key} names nothing: give at least one of {', '.join(known)}")
    label_transforms.parse(config.w2s.labels)
    kinds = {TASKS[task].kind for task in config.task}
    for method in config.method:
        if not kinds & set(METHODS[method].kinds):
            fitting = ", ".join(name for name, task in TASKS.items() if task.kind in METHODS[method].kinds)
            raise UserError(f"method={method} suits none of the tasks given: it is for {fitting}")
    if config.data.source != "testbed" and len(config.task) > 1:
        raise UserError(f"data={config.data.source} is read by one task: give task= one name, not {len(config.task)}")
    made = []
    for task in dict.fromkeys(config.task):
        own = TASKS[task].models(config.data.source)
        if "bootstrap" in suited(config, TASKS[task].kind):
            between_models(config, task)
        made += [
            Study(task, *names)
            for names in itertools.product(
                config.w2s.supervisor, config.weak or (own.weak,), config.strong or (own.strong,)
            )
        ]
    return list(dict.fromkeys(made))


def train(config: Config, run: Run, cluster: Cluster, workshop: Workshop, plan: Sequence[Study]) -> None:
    """All splits that are still to do, in order; after the loss of a bench the open ones are done again."""
    writers = Writers.open(run, run.settings["track"])
    while True:
        done = run.last_round()
        numbers = range(0 if done is None else done + 1, config.w2s.seeds)
        asked = {number: [workshop.begin(study, number) for study in plan] for number in numbers}
        try:
            for number in numbers:
                folder = run.begin_round(number)
                with run.stage("train"):
                    trials = [trial for future in asked[number] for trial in future.result()]
                with run.stage("score"):
                    aggregate.save(folder, trials)
                    cells = aggregate.cells([*committed(run), folder], config.seed, resamples=100)
                row = run.commit_round(number, {"metrics": aggregate.headline(cells), "counts": {}, "results": cells})
                cluster.progressed()
                writers.log(number, flatten(row))
            break
        except ActorLost as loss:
            run.event("actor_lost", actor=loss.actor, reason=str(loss))
            cluster.restart(loss)
        finally:
            for future in itertools.chain.from_iterable(asked.values()):
                future.cancel()
    writers.close()


def committed(run: Run) -> list[Path]:
    """The folders of the splits that are done."""
    return [run.round_path(number) for number in run.rounds()]


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete."""
    plan = studies(config)
    cache = Path(config.w2s.cache) if config.w2s.cache else Path(config.run.root) / ".cache" / "weak_to_strong"
    preflight(config, plan)
    steps = Plan(config.w2s.seeds - 1, STAGES, "split", first=1)
    with open_run(config, steps) as run:
        if run is None:
            return 0
        with ExitStack() as stack:
            with run.stage("load"):
                config = config.model_copy(update={"cluster": joined(config.cluster)})
                cluster = stack.enter_context(start(config.cluster, run.log_dir))
                shop = stack.enter_context(workshop(config, cluster, cache))
                cluster.ready()
            train(config, run, cluster, shop, plan)
        with run.stage("score"):
            cells = aggregate.cells(committed(run), config.seed, config.w2s.bootstrap)
        run.finish(
            aggregate.headline(cells),
            headline={name: cells[0][name] for name in ("task", "supervisor", "weak", "strong", "method")},
            results=cells,
            simulated_expert=False,
            judge=aggregate.JUDGE,
            versions=versions(),
        )
        for line in aggregate.table(cells):
            run.progress.say(line)
        run.progress.say(f"report: {page.write(run.folder).resolve()}")
    return 0
