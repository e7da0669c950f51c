"""The held-out evaluation of a self-play round, with what its attacks and its judge's errors add to it."""

from __future__ import annotations

from dataclasses import replace

from superalign.evaluation.corrections import corrections
from superalign.evaluation.diversity import attack_figures
from superalign.evaluation.harness import Evaluation, attack_diversity, evaluate
from superalign.evaluation.refinement import refined_success
from superalign.evaluation.suites import Examined, suite_figures
from superalign.loop.round_records import RoundRecords
from superalign.loop.workers import Workers


def measure(workers: Workers, now: RoundRecords) -> Evaluation:
    """The evaluation after a round, larger and with `evaluation.suites` at the first and the last.

    Where the judge is a model, the last one gives attack success corrected for its errors, too.
    """
    config, seed = workers.config, workers.config.seed
    chosen = workers.sets[now.number in (0, config.rounds)]
    evaluation = evaluate(config, chosen, workers.learner, workers.critic, workers.judge)
    draws = config.evaluation.bootstrap
    refined = refined_success(config, chosen.refined, workers.generator, workers.learner, workers.judge)
    more = {
        "attack_diversity": attack_diversity(now.queries, seed, draws),
        "attack_success_rate_refinement": refined,
        **attack_figures(now.queries, now.failures, now.number, config.attacker.families, seed, draws),
    }
    if now.number in (0, config.rounds):
        more |= suite_figures(Examined(config, workers.learner, workers.judge, workers.generator))
    if now.number == config.rounds and not workers.judge.exact:
        labels = workers.expert.answered(until=workers.expert.collected)
        more |= corrections(workers.judge, evaluation.metrics, labels, seed, draws)
    return replace(evaluation, metrics=evaluation.metrics | {name: e for name, e in more.items() if e})
