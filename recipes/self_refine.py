"""Self-refinement by a constitution: critique -> revise -> learn, without attacker or experts (arXiv 2212.08073).

    superalign train recipe=self_refine refine.method=dpo refine.constitution=principles.txt

One round: the model answers; the model as it was at first says which answers do not keep a principle, and why; they
are revised; `sft` learns what was accepted and the revisions that are, `dpo` prefers those to what they revise. Where
no oracle grades, that same model grades the report as well, and the run says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.attacks.families import apply_families
from superalign.config.schema import Config
from superalign.data.seeds import draw_seeds
from superalign.evaluation.harness import evaluate
from superalign.evaluation.judging import check_by_settings, withhold
from superalign.evaluation.samples import Criticised, select_criticised, select_requested, select_samples
from superalign.loop.real_text import measured_first, on_real_text, save_measured
from superalign.loop.rounds import RoundRow, build_workers, finish, open_run, run_rounds
from superalign.loop.workers import Workers, stage_seed
from superalign.planning import workloads
from superalign.records import Critique, Preference, Query, Response
from superalign.roles.critic.constitutional import Constitution, SelfCritic
from superalign.roles.judge import named
from superalign.store.run_writer import Plan, RunWriter
from superalign.store.tables import write_records
from superalign.training.algorithms.sft import REFERENCE
from superalign.training.base import Phase
from superalign.training.batch import TrainingBatch, preference

STAGES = ("respond", "critique", "train_learner", "sync", "evaluate")
ACCEPTED = 0.6
plan = workloads.self_refine  # what `superalign train --dry-run` tells


def refine(
    config: Config, run: RunWriter, workers: Workers, constitution: Constitution, number: int, folder: Path
) -> tuple[RoundRow, list[Criticised]]:
    """One round up to the new weights: what training measured, and the answers that were criticised."""
    critic, seed = SelfCritic(config, workers.generator), stage_seed(config.seed, number)
    with run.stage("respond"):
        seeds = draw_seeds(workers.train_seeds, config.refine.queries, number, config.seed)
        families = ("plain", *config.attacker.families)
        queries = apply_families(seeds, number, families, config.plugin)
        asked = {q.id: q for q in queries}
        cases = [(asked[r.query_id], r) for r in workers.learner.respond(queries, seed, samples=1)]
    with run.stage("critique"):
        principles = constitution.draw(cases, seed)
        keeps = critic.judge(cases, principles)
        failing = [number for number, p in enumerate(keeps) if p < 0.5]
        blamed, broken = [cases[n] for n in failing], [principles[n] for n in failing]
        critiques = critic.critique(blamed, broken, seed)
        revisions = workers.learner.revise([(q, r, c) for (q, r), c in zip(blamed, critiques, strict=True)], seed)
        better = critic.judge([(asked[r.query_id], r) for r in revisions], broken)
    mended = [
        (query, old, new, p)
        for (query, old), new, p in zip(blamed, revisions, better, strict=True)
        if p >= ACCEPTED and new.text != old.text
    ]
    kept = [r for (_, r), p in zip(cases, keeps, strict=True) if p >= ACCEPTED]
    # The revision before what it revises, with the belief that it keeps its principle.
    pairs = [preference(query, new, old, p, (2 * p - 1) ** 2, "critic") for query, old, new, p in mended]
    with run.stage("train_learner"):
        if config.refine.method == "dpo":
            anchors = [row(r) for r in kept]
            learned = workers.learner.refine(TrainingBatch(pairs), anchors, number, seed) if pairs else {}
        else:
            rows = [row(r) for r in (*kept, *(new for _, _, new, _ in mended))]
            c = config.learner
            phase = Phase(learning_rate=c.rate(number), epochs=c.epochs, batch_size=c.batch_size)
            taught = [r | {"weight": 1.0} for r in rows]
            learned = workers.trainer.train("learner", REFERENCE, taught, phase, (), seed) if rows else {}
        workers.sync("learner")
    write_records(folder, "queries", Query, queries)
    write_records(folder, "responses", Response, [*(r for _, r in cases), *revisions])
    write_records(folder, "critiques", Critique, critiques)
    write_records(folder, "preferences", Preference, pairs)
    counts = {"answers": len(cases), "criticised": len(failing), "mended": len(mended)}
    said = [Criticised(*cases[n], c.text, keeps[n]) for n, c in zip(failing, critiques, strict=True)]
    return {"train": {"learner": learned}, "counts": counts}, said


def row(response: Response) -> dict[str, Any]:
    """An answer as a row to imitate."""
    return {"prompt_ids": list(response.prompt_ids), "completion_ids": list(response.token_ids)}


def play(
    config: Config, run: RunWriter, workers: Workers, constitution: Constitution, number: int, folder: Path
) -> RoundRow:
    """One round, evaluated on held-out requests and committed; round 0 is the model before any training."""
    done: RoundRow = {"train": {}, "counts": {}}
    said: list[Criticised] = []
    if number:
        done, said = refine(config, run, workers, constitution, number, folder)
    with run.stage("evaluate"):
        chosen = workers.sets[number in (0, config.rounds)]
        check = check_by_settings(workers.judge, config)
        found = withhold(evaluate(config, chosen, workers.learner, workers.critic, workers.judge), check, workers.judge)
        real = on_real_text(workers, number, measured_first(run))
        save_measured(folder, real)
        measured = found.metrics | real.metrics
        metrics = {name: e.to_dict() for name, e in measured.items() if not name.startswith("critic")}
    with run.stage("sync"):
        workers.save(folder)
    row = {
        "metrics": metrics,
        "measured_on": found.measured_on,
        "judge": named(workers.judge, "chose what was learned"),
        "unread": workers.unread(),
        "judge_check": found.judge.to_row() if found.judge else None,
        **real.to_row(),
        **done,
    }
    samples = [*select_samples(found), *select_criticised(said, workers.judge), *select_requested(real.cases)]
    return run.commit_round(number, row, samples)


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete, 3 when the learner learned nothing."""
    constitution = Constitution.of(config)
    with open_run(config, Plan(config.rounds, STAGES)) as run:
        if run is None:
            return 0
        with build_workers(config, run) as workers:
            if not workers.judge.exact:
                run.progress.say(
                    f"{config.model_of('critic')} both chooses what is learned and grades it: the report's rates are "
                    "what the learner was trained for, so have people read its answers (`superalign samples`)"
                )
            run_rounds(run, workers, lambda number, folder: play(config, run, workers, constitution, number, folder))
        told, principles = ("judge", "judge_check", "compliance_check"), list(constitution.principles)
        return finish(run, run.first_and_last(), told, simulated_expert=False, constitution=principles)
