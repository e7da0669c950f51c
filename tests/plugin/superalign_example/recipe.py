"""A shorter self-play: attack, respond, critique, ask experts, train critic and learner, evaluate, commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.config.schema import Config
from superalign.loop.critic_phase import critique_and_revise, train_critic
from superalign.loop.learner_phase import fuse, train_learner
from superalign.loop.measure import measure
from superalign.loop.round_records import RoundRecords
from superalign.loop.rounds import build_workers, finish, open_run, run_rounds
from superalign.loop.workers import Workers, stage_seed
from superalign.store.run_writer import RunWriter


def play(run: RunWriter, workers: Workers, number: int) -> RoundRecords:
    """One round, up to the new weights."""
    now, seed = RoundRecords(number), stage_seed(workers.config.seed, number)
    critic, expert = workers.critic, workers.expert
    with run.stage("attack"):
        now.queries = workers.attacker.attack(workers.draw_seeds(number), number, seed)
    with run.stage("respond"):
        responses = workers.learner.respond(now.queries, seed)
    with run.stage("critique"):
        feedback = critique_and_revise(workers, now.queries, responses, seed)
        now.responses, now.critiques = list(feedback.responses.values()), feedback.critiques
        now.judgements = feedback.every_point + critic.judge_pairs(feedback.pairs)
    with run.stage("experts"):
        said = feedback.critique_of()
        expert.escalate(now.judgements, feedback.queries, feedback.responses, said, number, seed, critic.judge_pairs)
        labels = expert.collect(number)
        now.labels = labels.fresh
    with run.stage("train_critic"):
        now.train["critic"] = train_critic(workers, feedback.cases, feedback.points, feedback.everything, labels, seed)
    with run.stage("train_learner"):
        batch = fuse(workers, run, feedback, now.judgements, labels, number, seed)
        now.preferences = list(batch.preferences)
        now.train["learner"] = train_learner(workers, batch, now.queries, number, seed)
        workers.sync("learner")
    return now


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 3 when nothing was learned."""
    with open_run(config) as run:
        if run is None:
            return 0

        with build_workers(config, run) as workers:

            def round(number: int, folder: Path) -> dict[str, Any]:
                now = play(run, workers, number) if number else RoundRecords(0)
                with run.stage("evaluate"):
                    found = measure(workers, now)
                with run.stage("sync"):
                    now.save(folder)
                    workers.save(folder)
                    row = {
                        "metrics": {name: estimate.to_dict() for name, estimate in found.metrics.items()},
                        "counts": now.counts(),
                        "train": now.train,
                        "judge": workers.judge.name,
                    }
                    return run.commit_round(number, row)

            run_rounds(run, workers, round)
        return finish(run, run.first_and_last())
