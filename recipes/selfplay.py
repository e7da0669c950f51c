"""Self-play: attacker, critic and learner improve each other, a few experts keep them honest (arXiv 2412.11145).

    superalign train recipe=selfplay seed=0

One round: attack -> respond -> critique -> experts -> train critic -> fuse -> train attacker -> train learner -> sync
-> evaluate -> commit. A round is a transaction; whoever dies in it, it is done again from the last commit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.config.schema import Config
from superalign.data.seeds import check_seeds
from superalign.evaluation.harness import Evaluation
from superalign.evaluation.samples import criticised, select_criticised, select_requested, select_samples
from superalign.loop.attacker_phase import failures, train_attacker, weaknesses
from superalign.loop.critic_phase import critique_and_revise, train_critic
from superalign.loop.experts_phase import escalate
from superalign.loop.guards import Guards
from superalign.loop.learner_phase import fuse, train_learner
from superalign.loop.measure import measure
from superalign.loop.prefetch import Prefetcher
from superalign.loop.real_text import measured_first
from superalign.loop.regressions import stopped
from superalign.loop.retention import retain
from superalign.loop.round_records import RoundRecords
from superalign.loop.rounds import build_workers, finish, open_run, run_rounds
from superalign.loop.warm_start import warm_start
from superalign.loop.workers import Workers, stage_seed
from superalign.planning import workloads
from superalign.roles.protocols import AttackFeedback
from superalign.store.run_writer import RunWriter

plan = workloads.selfplay  # what `superalign train --dry-run` tells


def play(run: RunWriter, workers: Workers, guards: Guards, prefetcher: Prefetcher, number: int) -> RoundRecords:
    """One round of the game, up to the new weights."""
    config, now, seed = workers.config, RoundRecords(number), stage_seed(workers.config.seed, number)
    critic = workers.critic
    guards.begin(number)

    with run.stage("attack"):
        now.queries = prefetcher.attack(number)

    with run.stage("respond"):
        responses = prefetcher.respond(number, now.queries)
        now.train["generator"] = workers.policy_mismatch(responses)

    with run.stage("critique"):
        feedback = critique_and_revise(workers, now.queries, responses, seed)
        now.responses, now.critiques = list(feedback.responses.values()), feedback.critiques
        now.judgements = feedback.every_point + critic.judge_pairs(feedback.pairs)

    with run.stage("experts"):
        escalate(workers, feedback, now, number, seed)
        labels = workers.expert.collect(number)
        now.labels = labels.fresh

    with run.stage("train_critic"), guards.critic(labels):
        now.train["critic"] = train_critic(workers, feedback.cases, feedback.points, feedback.everything, labels, seed)

    with run.stage("critique"):  # the repaired critic labels what the learner learns from
        batch = fuse(workers, run, feedback, now.judgements, labels, number, seed)
        now.preferences = list(batch.preferences)

    with run.stage("train_attacker"):
        now.failures = failures(feedback.cases, feedback.points, config.attacker.intended_failures_only)
        attacks = AttackFeedback(now.failures, weaknesses(feedback))
        now.train["attacker"] = train_attacker(workers, attacks, number, seed)
        guards.attacker(now.queries, feedback.points)
        workers.sync("attacker")

    with run.stage("train_learner"), guards.learner(), prefetcher.start(number + 1):
        now.train["learner"] = train_learner(workers, batch, now.queries, number, seed)

    with run.stage("sync"):
        workers.sync("learner")
    return now


def begin(run: RunWriter, workers: Workers) -> RoundRecords:
    """Round 0: what is kept of the first learner, and what is learned before anybody plays."""
    seed = stage_seed(workers.config.seed, 0)
    retain(run, workers, seed)
    return RoundRecords(0, train=warm_start(run, workers, seed))


def commit(
    run: RunWriter, folder: Path, workers: Workers, guards: Guards, now: RoundRecords, found: Evaluation
) -> dict[str, Any]:
    """Make the round durable: records, weights, roles' memories, figures, samples."""
    now.save(folder)
    workers.save(folder)
    row = {
        "metrics": {name: estimate.to_dict() for name, estimate in found.metrics.items()},
        "measured_on": found.measured_on,
        "counts": now.counts(),
        "train": now.train,
        "judge": workers.judge.name,
        "judge_check": found.judge.to_row() if found.judge else None,
        **now.real.to_row(),
        "idle": workers.idle(),
        "unread": workers.unread(),
        **guards.record(folder, found),
    }
    said = criticised(now.queries, now.responses, now.critiques, now.judgements)
    samples = [*select_samples(found), *select_criticised(said, workers.judge), *select_requested(now.real.cases)]
    return run.commit_round(now.number, row, samples)


def train(config: Config, run: RunWriter, workers: Workers) -> None:
    """All rounds that are still to do, up to the last or to the guard that stops them."""
    guards, prefetcher = Guards(config, run, workers), Prefetcher(run, workers)

    def round(number: int, folder: Path) -> dict[str, Any]:
        now = play(run, workers, guards, prefetcher, number) if number else begin(run, workers)
        with run.stage("evaluate"):
            found = guards.compare(measure(workers, now, measured_first(run)), number)
        with run.stage("sync"):
            return commit(run, folder, workers, guards, now, found)

    run_rounds(
        run, workers, round, on_restore=prefetcher.restore, should_stop=lambda: stopped(run.rows(), config.guards)
    )


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 1 when a guard stopped it, 3 when the learner learned nothing."""
    check_seeds(config.data, config.seed)
    with open_run(config) as run:
        if run is None:
            return 0
        if not stopped(run.rows(), config.guards):
            with build_workers(config, run) as workers:
                train(config, run, workers)
        reason = stopped(run.rows(), config.guards)
        used = sum(row["counts"]["expert_labels"] for row in run.rows())
        if reason:
            run.progress.say(f"stopped by a guard after round {run.last_round()} of {config.rounds}: {reason}")
        status = finish(
            run,
            run.first_and_last() | {"expert_labels": {"used": used, "budget": config.expert.budget * config.rounds}},
            ("judge", "judge_check", "compliance_check"),
            simulated_expert=config.expert.source == "simulated" and config.expert.budget > 0,
            **({"status": "stopped", "stopped": reason} if reason else {}),
        )
    return 1 if reason else status
