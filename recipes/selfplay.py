"""Self-play: attacker, critic and learner improve each other, a few experts keep them honest (arXiv 2412.11145).

    superalign train recipe=selfplay seed=0

One round: attack -> respond -> critique -> experts -> train critic -> blend -> train attacker -> train learner -> sync
-> evaluate -> commit. A round is a transaction; whoever dies in it, it is done again from the last commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superalign.ahead import Ahead, seeds_of, write_queries
from superalign.config import Config
from superalign.data import load_seeds
from superalign.errors import UserError
from superalign.evaluation.corrections import corrections
from superalign.evaluation.diversity import attack_figures
from superalign.evaluation.harness import Evaluation, attack_diversity, evaluate, telling
from superalign.evaluation.judges import FrozenCriticJudge
from superalign.evaluation.refinement import refined_success
from superalign.feedback.changes import stopped
from superalign.feedback.escalation import shared
from superalign.feedback.guards import Guards
from superalign.records import Critique, ExpertLabel, Judgement, Preference, Query, Response
from superalign.report import page
from superalign.roles.critic import contrasts, shuffled
from superalign.roles.late import late
from superalign.roles.lessons import Lesson, preferences
from superalign.roles.sparring import failures, spar
from superalign.roles.verdicts import Case
from superalign.rounds import Row, assembled, drive, opened
from superalign.store.run import Run
from superalign.store.tables import write_records
from superalign.team import Team, stage_seed, versions


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


def play(config: Config, run: Run, team: Team, guards: Guards, ahead: Ahead, number: int) -> Round:
    """One round of the game, up to the new weights."""
    now, seed = Round(number), stage_seed(config.seed, number)
    attacker, critic, learner, expert = team.attacker, team.critic, team.learner, team.expert
    guards.begin(number)
    early = ahead.take(number)

    with run.stage("attack"):
        now.queries = early.queries if early else write_queries(config, team, number)
    asked = {q.id: q for q in now.queries}

    with run.stage("respond"):
        now.responses = early.responses if early else learner.respond(now.queries, seed)
        now.train["generator"] = team.agreement(now.responses)

    with run.stage("critique"):
        cases = [(asked[r.query_id], r) for r in now.responses]
        points = critic.judge_points(cases, seed)
        worst, now.critiques, revised = criticise(config, team, cases, points, seed)
        now.responses += [r for _, r in revised]
        revised_points = critic.judge_points(revised, seed + 1)
        pairs = contrasts(cases + revised, points + revised_points)
        judged = critic.judge_pairs(pairs)
        now.judgements = points + revised_points + judged

    with run.stage("experts"):
        spoken, critiques = {r.id: r for r in now.responses}, {c.response_id: c for c in now.critiques}
        expert.escalate(now.judgements, asked, spoken, critiques, number, seed, critic.judge_pairs)
        answered = expert.collect(number)
        errors, now.labels = expert.errors(answered), expert.fresh()

    with run.stage("train_critic"), guards.critic(answered, errors):
        team.anchors.extend(cases, points)
        team.anchors.heed(answered)
        familiar = [(q.text, r.text) for q, r in cases + revised]
        now.train["critic"] = critic.learn(answered, team.anchors.texts(), familiar, seed)
        team.sync("critic")
        now.train["critic"] |= critic.calibrate(errors)

    with run.stage("critique"):  # the repaired critic labels what the learner learns from
        judged = critic.judge_pairs(pairs)
        team.anchors.review(critic, seed)
        votes = shared(now.labels, now.judgements, spoken)
        if config.critic.verdicts == "shuffled":
            judged, votes = shuffled(judged, seed), []
        earlier = late(run, answered, votes, number)
        judged = unheard(judged, now.judgements, votes)
        now.preferences = preferences(pairs + earlier.pairs, judged + earlier.judged, votes, errors)
        everything = cases + revised if config.learner.scores else []
        again = [] if team.reward else critic.judge_points(everything, seed)
        again = unheard(again, now.judgements, votes)
        if config.learner.algorithm == "kto":  # policy gradients learn from this round's samples alone
            everything, again = everything + earlier.cases, again + earlier.points
        scored = team.scores(everything, again, votes, errors)

    with run.stage("train_attacker"):
        now.failures = failures(cases, points, config.attacker.sought)
        weaknesses = {q.id: critiques[r.id].text for q, r, _ in worst}
        now.train["attacker"] = attacker.learn(now.failures, weaknesses, seed)
        for bout in range(1, config.attacker.iterations):
            team.sync("attacker")
            seeds, sought = seeds_of(config, team, number), config.attacker.sought
            now.train["attacker"] = spar(attacker, learner, critic, seeds, number, seed + bout, sought)
        guards.attacker(now.queries, points)
        team.sync("attacker")

    with run.stage("train_learner"), guards.learner(), ahead.beside(number + 1):
        lesson = Lesson(now.preferences, scored)
        now.train["learner"] = practise(config, team, now.queries, lesson, number, seed)

    with run.stage("sync"):
        team.sync("learner")
    return now


def criticise(
    config: Config, team: Team, cases: list[Case], points: list[Judgement], seed: int
) -> tuple[list[tuple[Query, Response, Judgement]], list[Critique], list[Case]]:
    """The worst case of each query, a critique of it, and the learner's revisions of those that fail."""
    worst = worst_cases(cases, points)
    critiques = team.critic.critique([(q, r) for q, r, _ in worst], [p for *_, p in worst], seed)
    failing = [(q, r, c) for (q, r, p), c in zip(worst, critiques, strict=True) if p.p < 0.5]
    revisions = team.learner.revise(failing, seed) if config.learner.revise else []
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


def unheard(judged: list[Judgement], before: list[Judgement], votes: list[ExpertLabel]) -> list[Judgement]:
    """The judgements, but those of items with votes from before the critic learned these: no vote counts twice."""
    voted, first = {label.item_id for label in votes}, {j.id: j for j in before}
    return [first[j.id] if j.id in voted else j for j in judged]


def practise(
    config: Config, team: Team, queries: list[Query], lesson: Lesson, number: int, seed: int
) -> dict[str, float]:
    """The learner's phases of a round: one on the round's labels, further ones on fresh answers to the same queries."""
    asked, found = {q.id: q for q in queries}, {}
    spent = {"generated_tokens": 0.0, "trained_tokens": 0.0, "seconds": 0.0}
    for step in range(config.learner.iterations):
        if step:
            team.sync("learner")
            fresh = team.learner.respond(queries, seed + step)
            cases = [(asked[r.query_id], r) for r in fresh]
            points = team.critic.judge_points(cases, seed + step)
            _, _, revised = criticise(config, team, cases, points, seed + step)
            points, cases = points + team.critic.judge_points(revised, seed + step + 1), cases + revised
            spent["generated_tokens"] += sum(len(r.token_ids) for _, r in cases)
            pairs = [] if config.learner.scores else contrasts(cases, points)
            judged = team.critic.judge_pairs(pairs)
            if config.critic.verdicts == "shuffled":
                judged = shuffled(judged, seed + step)
            lesson = Lesson(preferences(pairs, judged, [], {}), team.scores(cases, points, [], {}))
        found = team.learner.refine(lesson, team.anchors.rows(), number, seed + step)
        spent = {name: total + found.get(name, 0.0) for name, total in spent.items()}
    return found | spent


def measure(config: Config, team: Team, now: Round) -> Evaluation:
    """The held-out evaluation after a round, larger at the first and the last."""
    ends = now.number in (0, config.rounds)
    evaluation = evaluate(config, team.sets[ends], team.learner, team.critic, team.judge)
    draws = config.evaluation.bootstrap
    diversity = attack_diversity(now.queries, config.seed, draws)
    refined = refined_success(config, team.sets[ends].refined, team.generator, team.learner, team.judge)
    more = {"attack_diversity": diversity, "attack_success_rate_refinement": refined}
    more |= attack_figures(now.queries, now.failures, now.number, config.seed, draws)
    if now.number == config.rounds and isinstance(team.judge, FrozenCriticJudge):
        answered = team.expert.answered(until=team.expert.collected)
        more |= corrections(team.judge, evaluation.metrics, answered, config.seed, draws)
    return replace(evaluation, metrics=evaluation.metrics | {name: e for name, e in more.items() if e})


def commit(run: Run, folder: Path, team: Team, guards: Guards, now: Round, found: Evaluation) -> dict[str, Any]:
    """Make the round durable: records, weights, roles' memories, figures, samples."""
    now.save(folder)
    team.save(folder)
    row = {
        "metrics": {name: estimate.to_dict() for name, estimate in found.metrics.items()},
        "measured_on": found.measured_on,
        "counts": {"expert_labels": len(now.labels), "queries": len(now.queries), "preferences": len(now.preferences)},
        "train": now.train,
        "judge": team.judge.name,
        "idle": team.idle(),
        **guards.record(folder, found),
    }
    return run.commit_round(now.number, row, telling(found, {c.response_id: c.text for c in now.critiques}))


def train(config: Config, run: Run, team: Team) -> None:
    """All rounds that are still to do, up to the last or to the guard that stops them."""
    guards, ahead = Guards(config, run, team), Ahead(config, run, team)

    def round(number: int, folder: Path) -> Row:
        now = play(config, run, team, guards, ahead, number) if number else Round(0)
        with run.stage("evaluate"):
            found = guards.compare(measure(config, team, now), number)
        with run.stage("sync"):
            return commit(run, folder, team, guards, now, found)

    drive(run, team, round, stand=ahead.again, halt=lambda: stopped(run.rows(), config.guards))


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 1 when a guard stopped it."""
    seeds = load_seeds(config.data, config.seed)
    if not any(s.split == "eval" for s in seeds):
        raise UserError("data.seeds: no seed is left for evaluation; give more seeds or a larger data.eval_share")
    with opened(config) as run:
        if run is None:
            return 0
        if not stopped(run.rows(), config.guards):
            with assembled(config, run) as team:
                train(config, run, team)
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
