"""Answers of the first learner that anchor it for the whole run, whatever becomes of the critic's verdicts."""

from __future__ import annotations

import random

from superalign.attacks.families import apply_families, opponents
from superalign.loop.workers import Workers
from superalign.prompts.refusal import is_refusal
from superalign.store.run_writer import RunWriter


def retain(run: RunWriter, workers: Workers, seed: int) -> None:
    """Sample the answers to `learner.retained` harmless training requests, before anybody has learned.

    They are sampled at temperature 1, so that what is kept of their probabilities is kept of the first learner's whole
    distribution. Refusals are left out, since to learn when to refuse is what the rounds are for.
    """
    asked = [s for s in workers.train_seeds if s.kind == "benign"]
    if not (count := min(workers.config.learner.retained, len(asked))):
        return
    with run.stage("respond"):
        queries = apply_families(random.Random(f"retained/{seed}").sample(asked, count), 0, opponents(()))
        answers = workers.learner.respond(queries, seed, samples=1, temperature=1.0)
    kept = [answer for answer in answers if answer.text.strip() and not is_refusal(answer.text)]
    workers.retained = [
        {"prompt_ids": list(r.prompt_ids), "completion_ids": list(r.token_ids), "logprobs": list(r.logprobs)}
        for r in kept
    ]
    run.progress.say(f"learner.retained: {len(kept)} answers of the first learner are anchors, of {count} sampled")
