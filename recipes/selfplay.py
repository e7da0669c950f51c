"""Self-play: attacker, critic and learner improve each other, a few experts keep them honest (arXiv 2412.11145).

    superalign train recipe=selfplay seed=0

One round: attack -> respond -> critique -> experts -> train critic -> blend -> train attacker -> train learner -> sync
-> evaluate -> commit. A round is a transaction; whoever dies in it, it is done again from the last commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superalign.config.schema import Config
from superalign.data.seeds import load_seeds
from superalign.errors import UserError
from superalign.evaluation.corrections import corrections
from superalign.evaluation.diversity import attack_figures
from superalign.evaluation.harness import Evaluation, attack_diversity, evaluate, select_samples
from superalign.evaluation.refinement import refined_success
from superalign.feedback.escalation import shared
from superalign.loop.attacker_phase import attacker_iteration, failures
from superalign.loop.delayed_labels import delayed_labels
from superalign.loop.guards import Guards
from superalign.loop.prefetch import Prefetcher, seeds_of, write_queries
from superalign.loop.regressions import stopped
from superalign.loop.rounds import Row, build_workers, open_run, run_rounds
from superalign.loop.workers import Workers, stage_seed, versions
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Response
from superalign.report import page
from superalign.roles.critic.generative import select_pairs, shuffled
from superalign.roles.critic.verdicts import Case
from superalign.roles.judge import FrozenCriticJudge
from superalign.store.run import Run
from superalign.store.tables import write_records
from superalign.training.batch import TrainingBatch, preferences


@dataclass
class Round:
    """Everything that one round produces."""

    number: int
    queries: list[Query] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    critiques: list[Critique] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    labels: list[ExpertLabel] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    failures: dict[str, list[float]] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the records as parquet tables."""
        write_records(folder, "queries", Query, self.queries)
        write_records(folder, "responses", Response, self.responses)
        write_records(folder, "critiques", Critique, self.critiques)
        write_records(folder, "judgements", Judgement, self.judgements)
        write_records(folder, "labels", ExpertLabel, self.labels)
        write_records(folder, "preferences", Preference, self.preferences)


def play(config: Config, run: Run, workers: Workers, guards: Guards, ahead: Prefetcher, number: int) -> Round:
    """One round of the game, up to the new weights."""
    now, seed = Round(number), stage_seed(config.seed, number)
    attacker, critic, learner, expert = workers.attacker, workers.critic, workers.learner, workers.expert
    guards.begin(number)
    early = ahead.pop(number)

    with run.stage("attack"):
        now.queries = early.queries if early else write_queries(config, workers, number)
    asked = {q.id: q for q in now.queries}

    with run.stage("respond"):
        now.responses = early.responses if early else learner.respond(now.queries, seed)
        now.train["generator"] = workers.policy_mismatch(now.responses)

    with run.stage("critique"):
        cases = [(asked[r.query_id], r) for r in now.responses]
        points = critic.judge_points(cases, seed)
        worst, now.critiques, revised = critique_and_revise(config, workers, cases, points, seed)
        now.responses += [r for _, r in revised]
        revised_points = critic.judge_points(revised, seed + 1)
        pairs = select_pairs(cases + revised, points + revised_points)
        judged = critic.judge_pairs(pairs)
        now.judgements = points + revised_points + judged

    with run.stage("experts"):
        spoken, critiques = {r.id: r for r in now.responses}, {c.response_id: c for c in now.critiques}
        expert.escalate(now.judgements, asked, spoken, critiques, number, seed, critic.judge_pairs)
        answered = expert.collect(number)
        errors, now.labels = expert.errors(answered), expert.fresh()

    with run.stage("train_critic"), guards.critic(answered, errors):
        workers.anchors.extend(cases, points)
        workers.anchors.drop_rejected(answered)
        familiar = [(q.text, r.text) for q, r in cases + revised]
        now.train["critic"] = critic.learn(answered, workers.anchors.texts(), familiar, seed)
        workers.sync("critic")
        now.train["critic"] |= critic.calibrate(errors)

    with run.stage("critique"):  # the repaired critic labels what the learner learns from
        judged = critic.judge_pairs(pairs)
        workers.anchors.rescore(critic, seed)
        votes = shared(now.labels, now.judgements, spoken)
        if config.critic.verdicts == "shuffled":
            judged, votes = shuffled(judged, seed), []
        earlier = delayed_labels(run, answered, votes, number)
        judged = without_double_counting(judged, now.judgements, votes)
        now.preferences = preferences(pairs + earlier.pairs, judged + earlier.judged, votes, errors)
        everything = cases + revised if config.learner.scores else []
        restore = [] if workers.reward else critic.judge_points(everything, seed)
        restore = without_double_counting(restore, now.judgements, votes)
        if config.learner.algorithm == "kto":  # policy gradients learn from this round's samples alone
            everything, restore = everything + earlier.cases, restore + earlier.points
        scored = workers.scores(everything, restore, votes, errors)

    with run.stage("train_attacker"):
        now.failures = failures(cases, points, config.attacker.intended_failures_only)
        weaknesses = {q.id: critiques[r.id].text for q, r, _ in worst}
        now.train["attacker"] = attacker.learn(now.failures, weaknesses, seed)
        for iteration in range(1, config.attacker.iterations):
            workers.sync("attacker")
            seeds, intended = seeds_of(config, workers, number), config.attacker.intended_failures_only
            now.train["attacker"] = attacker_iteration(
                attacker, learner, critic, seeds, number, seed + iteration, intended
            )
        guards.attacker(now.queries, points)
        workers.sync("attacker")

    with run.stage("train_learner"), guards.learner(), ahead.start(number + 1):
        lesson = TrainingBatch(now.preferences, scored)
        now.train["learner"] = train_learner(config, workers, now.queries, lesson, number, seed)

    with run.stage("sync"):
        workers.sync("learner")
    return now


def critique_and_revise(
    config: Config, workers: Workers, cases: list[Case], points: list[Judgement], seed: int
) -> tuple[list[tuple[Query, Response, Judgement]], list[Critique], list[Case]]:
    """The worst case of each query, a critique of it, and the learner's revisions of those that fail."""
    worst = worst_cases(cases, points)
    critiques = workers.critic.critique([(q, r) for q, r, _ in worst], [p for *_, p in worst], seed)
    failing = [(q, r, c) for (q, r, p), c in zip(worst, critiques, strict=True) if p.p < 0.5]
    revisions = workers.learner.revise(failing, seed) if config.learner.revise else []
    return worst, critiques, [(q, r) for (q, _, _), r in zip(failing, revisions, strict=config.learner.revise)]


def worst_cases(
    cases: list[tuple[Query, Response]], points: list[Judgement]
) -> list[tuple[Query, Response, Judgement]]:
    """Per query the response that the critic likes least."""
    worst: dict[str, tuple[Query, Response, Judgement]] = {}
    for (query, response), point in zip(cases, points, strict=True):
        if query.id not in worst or point.p < worst[query.id][2].p:
            worst[query.id] = (query, response, point)
    return list(worst.values())


def without_double_counting(
    judged: list[Judgement], before: list[Judgement], votes: list[ExpertLabel]
) -> list[Judgement]:
    """The judgements, but those of items with votes from before the critic learned these: no vote counts twice."""
    voted, first = {label.item_id for label in votes}, {j.id: j for j in before}
    return [first[j.id] if j.id in voted else j for j in judged]


def train_learner(
    config: Config, workers: Workers, queries: list[Query], lesson: TrainingBatch, number: int, seed: int
) -> dict[str, float]:
    """The learner's phases of a round: one on the round's labels, further ones on fresh answers to the same queries."""
    asked, found = {q.id: q for q in queries}, {}
    spent = {"generated_tokens": 0.0, "trained_tokens": 0.0, "seconds": 0.0}
    for step in range(config.learner.iterations):
        if step:
            workers.sync("learner")
            fresh = workers.learner.respond(queries, seed + step)
            cases = [(asked[r.query_id], r) for r in fresh]
            points = workers.critic.judge_points(cases, seed + step)
            _, _, revised = critique_and_revise(config, workers, cases, points, seed + step)
            points, cases = points + workers.critic.judge_points(revised, seed + step + 1), cases + revised
            spent["generated_tokens"] += sum(len(r.token_ids) for _, r in cases)
            pairs = [] if config.learner.scores else select_pairs(cases, points)
            judged = workers.critic.judge_pairs(pairs)
            if config.critic.verdicts == "shuffled":
                judged = shuffled(judged, seed + step)
            lesson = TrainingBatch(preferences(pairs, judged, [], {}), workers.scores(cases, points, [], {}))
        found = workers.learner.refine(lesson, workers.anchors.rows(), number, seed + step)
        spent = {name: total + found.get(name, 0.0) for name, total in spent.items()}
    return found | spent


def measure(config: Config, workers: Workers, now: Round) -> Evaluation:
    """The held-out evaluation after a round, larger at the first and the last."""
    ends = now.number in (0, config.rounds)
    evaluation = evaluate(config, workers.sets[ends], workers.learner, workers.critic, workers.judge)
    draws = config.evaluation.bootstrap
    diversity = attack_diversity(now.queries, config.seed, draws)
    refined = refined_success(config, workers.sets[ends].refined, workers.generator, workers.learner, workers.judge)
    more = {"attack_diversity": diversity, "attack_success_rate_refinement": refined}
    more |= attack_figures(now.queries, now.failures, now.number, config.seed, draws)
    if now.number == config.rounds and isinstance(workers.judge, FrozenCriticJudge):
        answered = workers.expert.answered(until=workers.expert.collected)
        more |= corrections(workers.judge, evaluation.metrics, answered, config.seed, draws)
    return replace(evaluation, metrics=evaluation.metrics | {name: e for name, e in more.items() if e})


def commit(run: Run, folder: Path, workers: Workers, guards: Guards, now: Round, found: Evaluation) -> dict[str, Any]:
    """Make the round durable: records, weights, roles' memories, figures, samples."""
    now.save(folder)
    workers.save(folder)
    row = {
        "metrics": {name: estimate.to_dict() for name, estimate in found.metrics.items()},
        "measured_on": found.measured_on,
        "counts": {"expert_labels": len(now.labels), "queries": len(now.queries), "preferences": len(now.preferences)},
        "train": now.train,
        "judge": workers.judge.name,
        "idle": workers.idle(),
        **guards.record(folder, found),
    }
    return run.commit_round(now.number, row, select_samples(found, {c.response_id: c.text for c in now.critiques}))


def train(config: Config, run: Run, workers: Workers) -> None:
    """All rounds that are still to do, up to the last or to the guard that stops them."""
    guards, ahead = Guards(config, run, workers), Prefetcher(config, run, workers)

    def round(number: int, folder: Path) -> Row:
        now = play(config, run, workers, guards, ahead, number) if number else Round(0)
        with run.stage("evaluate"):
            found = guards.compare(measure(config, workers, now), number)
        with run.stage("sync"):
            return commit(run, folder, workers, guards, now, found)

    run_rounds(run, workers, round, on_restore=ahead.restore, should_stop=lambda: stopped(run.rows(), config.guards))


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 1 when a guard stopped it."""
    seeds = load_seeds(config.data, config.seed)
    if not any(s.split == "eval" for s in seeds):
        raise UserError("data.seeds: no seed is left for evaluation; give more seeds or a larger data.eval_share")
    with open_run(config) as run:
        if run is None:
            return 0
        if not stopped(run.rows(), config.guards):
            with build_workers(config, run) as workers:
                train(config, run, workers)
        reason = stopped(run.rows(), config.guards)
        budget = config.expert.budget * config.rounds
        used = sum(row["counts"]["expert_labels"] for row in run.rows())
        run.finish(
            run.first_and_last() | {"expert_labels": {"used": used, "budget": budget}},
            simulated_expert=config.expert.source == "simulated" and config.expert.budget > 0,
            judge=run.rows()[-1]["judge"],
            versions=versions(),
            **({"status": "stopped", "stopped": reason} if reason else {}),
        )
        if reason:
            run.progress.say(f"stopped by a guard after round {run.last_round()} of {config.rounds}: {reason}")
        run.progress.say(f"report: {page.write(run.folder).resolve()}")
    return 1 if reason else 0
