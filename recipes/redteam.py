"""Red teaming: an attacker learns to break a frozen model, and what it found becomes a report.

    superalign train recipe=redteam redteam.target=runs/NAME

Round 0 asks fixed attacks. A later round: attack -> respond -> judge -> train the attacker. The critic rewards the
attacker, the evaluation's judge grades the report; where that is no oracle it is the same model, and the run says so.
The model under attack never changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.attacks.families import apply_families
from superalign.config.schema import Config
from superalign.data.seeds import draw_seeds
from superalign.errors import UserError
from superalign.evaluation.judging import check_by_settings, reported
from superalign.evaluation.vulnerabilities import (
    Attempt,
    attempts,
    found_by,
    redacted,
    success,
    tables,
    unique,
    unique_rate,
)
from superalign.loop.attacker_phase import failures, train_attacker
from superalign.loop.guards import roll_back
from superalign.loop.rounds import RoundRow, build_workers, finish, open_run, run_rounds
from superalign.loop.warm_start import warm_start
from superalign.loop.workers import Workers, stage_seed
from superalign.models import same_model
from superalign.planning import workloads
from superalign.roles.judge import named
from superalign.roles.protocols import AttackFeedback, Case, Outcome
from superalign.store.adapters import WEIGHTS
from superalign.store.folder import RunFolder
from superalign.store.run_writer import Plan, RunWriter
from superalign.store.tables import read_records, write_records

STAGES = ("attack", "respond", "critique", "train_attacker", "sync", "evaluate")
FIXED_SEEDS = 8  # times the seeds of a round
plan = workloads.redteam  # what `superalign train --dry-run` tells


def attack(run: RunWriter, workers: Workers, number: int) -> tuple[list[Case], list[str], RoundRow]:
    """One round against the frozen model: cases, critiques of them, what training the attacker measured."""
    config, critic, seed = workers.config, workers.critic, stage_seed(workers.config.seed, number)
    with run.stage("attack"):
        queries = workers.attacker.attack(workers.draw_seeds(number), number, seed)
    with run.stage("respond"):
        asked = {q.id: q for q in queries}
        cases = [(asked[r.query_id], r) for r in workers.learner.respond(queries, seed)]
    with run.stage("critique"):
        points = critic.judge_points(cases, seed)
        by_worth = sorted(zip(cases, points, strict=True), key=lambda each: -each[1].p)
        worst = {query.id: ((query, response), point) for (query, response), point in by_worth}
        said = critic.critique([case for case, _ in worst.values()], [point for _, point in worst.values()], seed)
        weaknesses = dict(zip(worst, (c.text for c in said), strict=True))
    with run.stage("train_attacker"):
        failed = failures(cases, points, config.attacker.intended_failures_only)
        learned = train_attacker(workers, AttackFeedback(failed, weaknesses), number, seed)
    with run.stage("sync"):
        workers.sync("attacker")
    critiques = {c.response_id: c.text for c in said}
    return cases, [critiques.get(r.id, "") for _, r in cases], {"attacker": learned}


def fixed(run: RunWriter, workers: Workers) -> tuple[list[Case], list[str], RoundRow]:
    """Round 0: what is learned beforehand, and attacks that nobody trained, on the same kind of requests."""
    config = workers.config
    learned = warm_start(run, workers, stage_seed(config.seed, 0))
    families = ("plain", *config.attacker.families, *config.evaluation.heldout_families)
    seeds = draw_seeds(workers.train_seeds, FIXED_SEEDS * config.attacker.seeds, 1, config.seed)
    queries = apply_families(seeds, 0, families, config.plugin)
    with run.stage("respond"):
        responses = workers.learner.respond(queries, seed=0, samples=1, temperature=0.0)
    return list(zip(queries, responses, strict=True)), [""] * len(queries), learned


def measured(config: Config, tries: list[Attempt]) -> dict[str, Any]:
    """A round's figures: of the attacker's own new attempts, in round 0 of the fixed ones."""
    own = [a for a in tries if a.source == "attacker" and a.round == tries[0].round] or tries
    harmful, benign = ([a for a in own if a.kind == kind] for kind in ("harmful", "benign"))
    seed, draws = config.seed, config.evaluation.bootstrap
    figures = {
        "attack_success_rate": success(harmful, seed, draws),
        "over_refusal_rate": success(benign, seed, draws),
        "unique_success_rate": unique_rate(own, seed, draws),
    }
    return {name: figure.to_dict() for name, figure in figures.items() if figure}


def play(config: Config, run: RunWriter, workers: Workers, number: int, folder: Path) -> RoundRow:
    """One round, graded, reported and committed."""
    cases, critiques, learned = attack(run, workers, number) if number else fixed(run, workers)
    with run.stage("evaluate"):
        check = check_by_settings(workers.judge, config)
        outcomes: list[Outcome] = workers.judge.outcomes(cases)
        check = check.on(workers.judge, cases)
        tries = attempts(cases, outcomes, number)
        write_records(folder, "attempts", Attempt, tries)
        every = [*earlier(run), *tries]
        found = tables(every, config.seed, config.evaluation.bootstrap)
    with run.stage("sync"):
        workers.save(folder)
    row = {
        "metrics": reported(measured(config, tries), check),
        "counts": {"attacks": len(tries)} | ({} if check.withheld else {"unique_successes": sum(unique(every))}),
        "train": learned,
        "unread": workers.unread(),
        "judge": named(workers.judge, "rewards the attacker"),
        "judge_check": check.to_row(),
        "tables": [] if check.withheld else found,
        "finding": f"No rates are reported: {check.withheld}." if check.withheld else found_by(every),
    }
    return run.commit_round(number, row, redacted(cases, critiques, outcomes))


def earlier(run: RunWriter) -> list[Attempt]:
    """The attempts of all committed rounds."""
    return [a for number in run.rounds() for a in read_records(run.round_path(number), "attempts", Attempt)]


def adapters_of_target(config: Config) -> Path | None:
    """Where the last learner of the target run lies, if a run is attacked.

    Raises:
        UserError: it has no learner, or one of another model or adapter than this run's settings make.
    """
    if config.redteam.target is None:
        return None
    target = RunFolder.open(config.redteam.target, config.run.root)
    what, made = f"redteam.target={target.folder}", target.config()
    if (last := target.last_round()) is None:
        raise UserError(f"{what} has committed no round yet: there is no learner to attack")
    folder = target.round_path(last) / WEIGHTS
    if not (folder / "learner").is_dir():
        raise UserError(f"{what} is a run of recipe={made['recipe']}, which has no learner to attack: name another run")
    for key, theirs, ours in (
        ("model", made["model"], config.model),
        *((f"lora.{name}", made["lora"].get(name), value) for name, value in config.lora.model_dump().items()),
    ):
        if theirs != ours and not (key == "model" and same_model(theirs, ours)):
            raise UserError(f"{what} was trained with {key}={theirs}, here it is {ours}: give {key}={theirs} here too")
    return folder


def aim(config: Config, run: RunWriter, workers: Workers) -> None:
    """Put the learner of the target run in place of the bare model; a later round has it in its own folder."""
    if run.last_round() is None and (folder := adapters_of_target(config)):
        roll_back(workers.trainer, "learner", folder, run.rounds_dir / ".tmp-target")
        workers.sync("learner")


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 3 when the attacker learned nothing."""
    if not (config.run.name and RunFolder(Path(config.run.root) / config.run.name).rounds()):
        adapters_of_target(config)  # refused before anything is written
    with open_run(config, Plan(config.rounds, STAGES)) as run:
        if run is None:
            return 0
        with build_workers(config, run) as workers:
            if not workers.judge.exact:
                run.progress.say(
                    f"{config.model_of('critic')} both rewards the attacker and grades it: the report's rates are what "
                    "the attacker was trained for, so have people read its attacks (`superalign samples`)"
                )
            run_rounds(
                run,
                workers,
                lambda number, folder: play(config, run, workers, number, folder),
                lambda: aim(config, run, workers),
            )
        return finish(run, run.first_and_last(), ("judge", "judge_check", "tables", "counts"), simulated_expert=False)
