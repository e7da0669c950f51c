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
from superalign.errors import ActorLost
from superalign.loop.rounds import open_run
from superalign.loop.workers import versions
from superalign.planning import workloads
from superalign.report import page
from superalign.report.writers import Writers, flatten
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import resolve_address, start
from superalign.store.run_writer import Plan, RunWriter
from superalign.weak_to_strong.metrics import aggregate
from superalign.weak_to_strong.plan import preflight, studies
from superalign.weak_to_strong.study import Study
from superalign.weak_to_strong.worker_pool import WorkerPool, worker_pool

STAGES = ("load", "train", "score")
plan = workloads.weak_to_strong  # what `superalign train --dry-run` tells


def train(config: Config, run: RunWriter, cluster: Cluster, pool: WorkerPool, plan: Sequence[Study]) -> None:
    """All splits that are still to do, in order; after the loss of a worker the open ones are done again."""
    writers = Writers.open(run, run.settings["track"])
    while True:
        done = run.last_round()
        numbers = range(0 if done is None else done + 1, config.w2s.seeds)
        futures = {number: [pool.submit(study, number) for study in plan] for number in numbers}
        try:
            for number in numbers:
                folder = run.begin_round(number)
                with run.stage("train"):
                    trials = [trial for future in futures[number] for trial in future.result()]
                with run.stage("score"):
                    aggregate.save(folder, trials)
                    cells = aggregate.cells([*committed(run), folder], config.seed, resamples=100)
                row = run.commit_round(number, {"metrics": aggregate.headline(cells), "counts": {}, "results": cells})
                cluster.reset_restarts()
                writers.log(number, flatten(row))
            break
        except ActorLost as loss:
            run.event("actor_lost", actor=loss.actor, reason=str(loss))
            cluster.restart(loss)
        finally:
            for future in itertools.chain.from_iterable(futures.values()):
                future.cancel()
    writers.close()


def committed(run: RunWriter) -> list[Path]:
    """The folders of the splits that are done."""
    return [run.round_path(number) for number in run.rounds()]


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete."""
    plan = studies(config)
    preflight(config, plan)
    cache = Path(config.w2s.cache) if config.w2s.cache else Path(config.run.root) / ".cache" / "weak_to_strong"
    steps = Plan(config.w2s.seeds - 1, STAGES, "split", first=1)
    with open_run(config, steps) as run:
        if run is None:
            return 0
        with ExitStack() as stack:
            with run.stage("load"):
                config = config.model_copy(update={"cluster": resolve_address(config.cluster)})
                cluster = stack.enter_context(start(config.cluster, run.log_dir))
                pool = stack.enter_context(worker_pool(config, cluster, cache))
                cluster.ready()
            train(config, run, cluster, pool, plan)
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
