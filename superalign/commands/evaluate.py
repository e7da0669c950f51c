"""Evaluate a run's last weights, or a bare model, without training (`superalign eval`)."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from superalign.commands.generate import open_target
from superalign.config.compose import load
from superalign.config.schema import Config
from superalign.data.seeds import load_seeds
from superalign.errors import UserError
from superalign.evaluation.harness import build_set, evaluate
from superalign.evaluation.refinement import refined_success
from superalign.roles.critic.registry import critic_class
from superalign.roles.judge import make_judge
from superalign.roles.learner import Learner
from superalign.store.adapters import remembered

ASKED = ("data", "evaluation", "seed")


def evaluate_target(target: str, overrides: Sequence[str]) -> int:
    """Print the held-out figures; `overrides` choose seeds and sizes (data.*, evaluation.*, seed)."""
    chosen = load(overrides).model_dump()
    config, generator, run = open_target(target)
    settings = config.model_dump()
    for key in (override.partition("=")[0].lstrip("+") for override in overrides):
        section, _, name = key.partition(".")
        if section not in ASKED:
            raise UserError(f"{key} does not change an evaluation; what does is {', '.join(ASKED)}")
        if name:
            name = name.split(".")[0]
            settings[section][name] = chosen[section][name]
        else:
            settings[section] = chosen[section]
    config = Config.model_validate(settings)
    judge = make_judge(config, generator)
    questions = build_set(config, load_seeds(config.data, config.seed), judge, config.evaluation.final_factor)
    critic = critic_class(config)(config, generator, None)
    if run:
        critic.restore(remembered(run)["critic"], [])  # calibration and heads; the labels behind them are not asked for
    learner = Learner(config, generator, None)
    found = evaluate(config, questions, learner, critic, judge).metrics
    if refined := refined_success(config, questions.refined, generator, learner, judge):
        found["attack_success_rate_refinement"] = refined
    table = Table("figure", "value", "95 % interval", "n", title=f"{target}, graded by {judge.name}")
    for name, e in found.items():
        table.add_row(name, f"{e.value:.3f}", f"{e.low:.3f} to {e.high:.3f}", str(e.n))
    Console().print(table)
    return 0
