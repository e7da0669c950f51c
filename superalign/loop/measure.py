"""The held-out evaluation of a self-play round, with what its attacks and its judge's errors add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from superalign.config.texts import prompts_of
from superalign.evaluation.corrections import corrections
from superalign.evaluation.diversity import attack_figures
from superalign.evaluation.harness import Evaluation, attack_diversity, evaluate
from superalign.evaluation.judging import check_by_settings, withhold
from superalign.evaluation.own_answers import own_figures
from superalign.evaluation.refinement import refined_success
from superalign.evaluation.suites import Examined, suite_figures
from superalign.experts.items import Item
from superalign.loop.real_text import on_real_text
from superalign.loop.round_records import RoundRecords
from superalign.loop.workers import Workers
from superalign.records import ExpertLabel, Measured
from superalign.roles.curated import CURATED


def measure(workers: Workers, now: RoundRecords, first: Sequence[Measured] = ()) -> Evaluation:
    """The evaluation after a round, larger and with `evaluation.suites` at the first and the last.

    What is measured on real text stays in `now.real`, too; `first` is what was measured so in round 0.

    A judge that is a model is checked first, on `evaluation.labels` or the experts' labels so far; the last evaluation
    gives attack success corrected for its errors, too.
    """
    config, seed = workers.config, workers.config.seed
    chosen, everything = workers.sets[now.number in (0, config.rounds)], known_labels(workers)
    labels = [pair for pair in everything if pair[0].lane != CURATED]  # those are of other questions than the run's
    check = check_by_settings(workers.judge, config, labels)
    evaluation = evaluate(config, chosen, workers.learner, workers.critic, workers.judge)
    draws = config.evaluation.bootstrap
    own, against = own_figures(
        workers.critic,
        now.own_answers,
        workers.judge,
        {(item.query, text) for item, _ in everything for text in (item.first, item.second)},
        config.evaluation.critic_probe,
        seed,
        draws,
    )
    refined = refined_success(config, chosen.refined, workers.generator, workers.learner, workers.judge)
    tactics = tuple(prompts_of(config).tactics) or config.attacker.families  # what the attacker can be told, or knows
    more = {
        "attack_diversity": attack_diversity(now.queries, seed, draws),
        "attack_success_rate_refinement": refined,
        **own,
        **attack_figures(now.queries, now.failures, now.number, tactics, seed, draws),
    }
    if now.number in (0, config.rounds):
        more |= suite_figures(Examined(config, workers.learner, workers.judge, workers.generator))
    now.real = on_real_text(workers, now.number, first)
    more |= now.real.metrics
    if now.number == config.rounds and not workers.judge.exact:
        experts = workers.expert.error_draws(labels, draws, seed)
        more |= corrections(workers.judge, evaluation.metrics, labels, seed, draws, experts)
    metrics = evaluation.metrics | {name: e for name, e in more.items() if e}
    measured_on = evaluation.measured_on | dict.fromkeys(own, against)
    return withhold(replace(evaluation, metrics=metrics, measured_on=measured_on), check, workers.judge)


def known_labels(workers: Workers) -> list[tuple[Item, ExpertLabel]]:
    """The curated labels, and the experts' up to the last collection."""
    return workers.expert.answered(until=workers.expert.collected)
