"""A reward model from preferences: how often it ranks held-out pairs as labelled, and how well it knows that.

    superalign train recipe=reward_model
    superalign train recipe=reward_model model=FOLDER data=preferences.jsonl

A round is one pass over the training pairs. Half of the held-out prompts fit a temperature, the other half is scored.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superalign.config.schema import Config
from superalign.data.preferences import PreferencePair, read_pairs
from superalign.feedback.calibration import Calibrator
from superalign.loop.rounds import RoundRow, finish, open_run
from superalign.loop.workers import stage_seed
from superalign.planning import workloads
from superalign.report import page
from superalign.report.writers import Writers, flatten
from superalign.stats.classification import brier, ece_estimate
from superalign.stats.intervals import clustered_rate
from superalign.store.run_writer import Plan, RunWriter
from superalign.training.reward import WEIGHTS, RewardModel, RewardPhase

STAGES = ("load", "train", "score")
plan = workloads.reward_model  # what `superalign train --dry-run` tells


def margins(model: RewardModel, pairs: Sequence[PreferencePair]) -> list[tuple[float, float]]:
    """(reward of the answer shown first less that of the other, 1 if the first is the chosen one), in random order."""
    scores = model.rewards([(pair.prompt, text) for pair in pairs for text in (pair.chosen, pair.rejected)])
    found = []
    for number, pair in enumerate(pairs):
        margin = scores[2 * number] - scores[2 * number + 1]
        first = random.Random(f"order/{pair.cluster}/{number}").random() < 0.5
        found.append((margin, 1.0) if first else (-margin, 0.0))
    return found


def score(config: Config, model: RewardModel, heldout: Sequence[PreferencePair]) -> RoundRow:
    """Accuracy and calibration on one half of the held-out pairs, the temperature fitted on the other."""
    fitting, scored = ([pair for pair in heldout if pair.fits == fits] for fits in (True, False))
    known, found = margins(model, fitting), margins(model, scored)
    calibrator = Calibrator.fit([m for m, _ in known], [y for _, y in known], [1.0] * len(known), [""] * len(known))
    margin, truth, clusters = [m for m, _ in found], [y for _, y in found], [pair.cluster for pair in scored]
    seed, draws = config.seed, config.evaluation.bootstrap
    right = [m != 0 and (m > 0) == (y > 0.5) for m, y in found]
    accuracy = clustered_rate(right, clusters, seed, draws)
    rows, metrics = [], {"reward_accuracy": accuracy.to_dict()}
    for name, apply in (("raw", Calibrator()), ("calibrated", calibrator)):
        p = apply.apply_all(margin, [""] * len(margin)).tolist()
        errors = brier(p, truth, clusters, seed, draws), ece_estimate(p, truth, clusters, seed, draws)
        rows.append({"name": name, "cells": [each.to_dict() for each in errors]})
        metrics |= dict(zip(("reward_brier", "reward_ece"), (each.to_dict() for each in errors), strict=True))
    columns = ["P(chosen better)", "Brier score", "calibration error"]
    return {
        "metrics": metrics,
        "tables": [{"title": "Calibration", "columns": columns, "rows": rows, "plain": True}],
        "finding": f"The reward model ranks {accuracy.value:.0%} [{accuracy.low:.0%}, {accuracy.high:.0%}] of "
        f"{accuracy.n} held-out pairs as they are labelled.",
        "counts": {"fitted_on": len(fitting), "scored_on": len(scored)},
    }


def play(
    config: Config, run: RunWriter, model: RewardModel, pairs: Sequence[PreferencePair], number: int, folder: Path
) -> RoundRow:
    """One pass over the training pairs; round 0 scores the model before any training."""
    training = [pair.texts for pair in pairs if not pair.heldout]
    learned: dict[str, Any] = {}
    with run.stage("train"):
        if number:
            c = config.reward
            phase = RewardPhase(learning_rate=c.learning_rate, epochs=1, batch_size=c.batch_size, center=c.center)
            learned = {"reward_model": model.fit(training, phase, stage_seed(config.seed, number))}
        model.save(folder / WEIGHTS)
    with run.stage("score"):
        row = score(config, model, [pair for pair in pairs if pair.heldout])
    row["counts"]["pairs"] = len(training)
    return run.commit_round(number, row | {"train": learned, "judge": judge(config)})


def judge(config: Config) -> str:
    """Whose labels the held-out pairs have."""
    return "testbed oracle (exact)" if config.data.source == "testbed" else f"the labels of {config.data.source}"


def main(config: Config) -> int:
    """Run the recipe; 0 when the run is complete."""
    found = read_pairs(config)
    pairs = found.pairs
    with open_run(config, Plan(config.rounds, STAGES)) as run:
        if run is None:
            return 0
        found.summary.tell(run)
        with run.stage("load"):
            model = RewardModel(config.model, config.lora, config.cluster.threads)
            if (last := run.last_round()) is not None:
                model.load(run.round_path(last) / WEIGHTS)
        writers = Writers.open(run, run.settings["track"])
        for number in range(0 if last is None else last + 1, config.rounds + 1):
            row = play(config, run, model, pairs, number, run.begin_round(number))
            writers.log(number, flatten(row))
            page.write(run.folder)
        writers.close()
        return finish(run, run.first_and_last(), ("judge", "tables", "counts"), simulated_expert=False)
