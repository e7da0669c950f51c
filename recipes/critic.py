"""A critic alone: trained and calibrated on a few expert labels, examined before and after.

    superalign train recipe=critic expert.budget=48
    superalign train recipe=critic expert.source=queue expert.wait=true

One round: the untrained learner answers static attacks and revises, the critic judges, experts label what it is least
sure of, the critic learns and is calibrated on labels held back from it. The learner never changes.
"""

from __future__ import annotations

from pathlib import Path

from superalign.attacks.families import apply_families
from superalign.config.schema import Config
from superalign.evaluation.critics import comparison, critic_figures
from superalign.loop.critic_phase import select_pairs, train_critic
from superalign.loop.experts_phase import ask
from superalign.loop.round_records import RoundRecords
from superalign.loop.rounds import RoundRow, build_workers, finish, open_run, run_rounds
from superalign.loop.workers import Workers, stage_seed
from superalign.planning import workloads
from superalign.roles.critic.registry import critic_class
from superalign.roles.critic.verdicts import VerdictModel
from superalign.stats.labelled_set import LabelledSet
from superalign.store.run_writer import Plan, RunWriter

STAGES = ("respond", "critique", "experts", "train_critic", "sync", "evaluate")
plan = workloads.critic  # what `superalign train --dry-run` tells


def learn(run: RunWriter, workers: Workers, number: int, folder: Path) -> RoundRow:
    """One round up to the calibrated critic; its records go into the folder."""
    config, critic = workers.config, workers.critic
    now, seed = RoundRecords(number), stage_seed(config.seed, number)
    with run.stage("respond"):
        families = ("plain", *config.attacker.families)
        now.queries = apply_families(workers.draw_seeds(number), number, families, config.plugin)
        asked = {q.id: q for q in now.queries}
        now.responses = workers.learner.respond(now.queries, seed)
        cases = [(asked[r.query_id], r) for r in now.responses]
    with run.stage("critique"):
        points = critic.judge_points(cases, seed)
        failing = [(case, point) for case, point in zip(cases, points, strict=True) if point.p < 0.5]
        now.critiques = critic.critique([case for case, _ in failing], [point for _, point in failing], seed)
        blamed = [(*case, c) for (case, _), c in zip(failing, now.critiques, strict=True)]
        revisions = workers.learner.revise(blamed, seed)  # a frozen learner alone would show one kind of answer
        revised = [(asked[r.query_id], r) for r in revisions]
        points += critic.judge_points(revised, seed + 1)
        cases, now.responses = cases + revised, now.responses + revisions
        now.judgements = [*points, *critic.judge_pairs(select_pairs(cases, points))]
    with run.stage("experts"):
        responses, said = {r.id: r for r in now.responses}, {c.response_id: c for c in now.critiques}
        ask(workers, now.judgements, asked, responses, said, number, seed)
        labels = workers.expert.collect(number)
        now.labels = labels.fresh
    with run.stage("train_critic"):
        learned = train_critic(workers, cases, points, cases, labels, seed)
    now.save(folder)
    return {"train": {"critic": learned}, "counts": {"expert_labels": len(now.labels)}}


def examinations(workers: Workers) -> list[tuple[LabelledSet, list[float]]]:
    """What the critic is examined on, with its probabilities: exact verdicts, if any, and labels held back from it."""
    exams = [workers.critic.heldout()]
    if probes := workers.sets[True].probes:
        exact = LabelledSet.on_probes(probes)
        exams.insert(0, (exact, workers.critic.probabilities(exact.cases)))
    return [(exam, p) for exam, p in exams if p]


def examine(config: Config, run: RunWriter, workers: Workers, initial: VerdictModel) -> RoundRow:
    """Figures of the first examination, and a table of each against the critic before any training."""
    how = (config.seed, config.evaluation.bootstrap)
    with run.stage("evaluate"):
        exams = examinations(workers)
        tables = [comparison(initial.probabilities(exam.cases), p, exam, *how) for exam, p in exams]
        first = exams[0] if exams else None
        figures = critic_figures(first[1], first[0], *how) if first else {}
    metrics = {name: e.to_dict() for name, e in figures.items()}
    return {"metrics": metrics, "tables": tables, "finding": told(figures, first[0].against if first else "")}


def told(figures: RoundRow, against: str) -> str:
    """The state of the critic in a sentence."""
    if not figures:
        return "No verdict is known yet to examine the critic on."
    accuracy, score = figures["critic_accuracy"], figures["critic_brier"]
    right = f"{accuracy.value:.0%} [{accuracy.low:.0%}, {accuracy.high:.0%}] of {accuracy.n} verdicts"
    brier = f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
    return f"Against {against}, the critic is right on {right}, at a Brier score of {brier}."


def play(
    config: Config, run: RunWriter, workers: Workers, initial: VerdictModel, number: int, folder: Path
) -> RoundRow:
    """One round, examined and committed."""
    row: RoundRow = learn(run, workers, number, folder) if number else {"counts": {"expert_labels": 0}, "train": {}}
    row |= examine(config, run, workers, initial) | {
        "judge": workers.judge.name,
        "simulated_expert": workers.expert.simulated,
        "unread": workers.unread(),
    }
    with run.stage("sync"):
        workers.save(folder)
    return run.commit_round(number, row)


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 3 when the critic learned nothing."""
    with open_run(config, Plan(config.rounds, STAGES)) as run:
        if run is None:
            return 0
        with build_workers(config, run) as workers:
            initial = critic_class(config)(config, workers.generator, None, role="judge")
            run_rounds(run, workers, lambda number, folder: play(config, run, workers, initial, number, folder))
        used = sum(row["counts"]["expert_labels"] for row in run.rows())
        labels = {"expert_labels": {"used": used, "budget": config.expert.budget * config.rounds}}
        return finish(run, run.first_and_last() | labels, ("judge", "tables", "simulated_expert"))
