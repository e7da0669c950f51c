"""`superalign eval`: evaluate a run's last weights, or a bare model, without training."""

from __future__ import annotations

import argparse
from typing import Final

from superalign.commands.parser import Verbs, add_overrides
from superalign.errors import UserError

ASKED: Final = ("data", "evaluation", "seed")


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("eval", evaluate, "evaluate a run or a model on held-out requests")
    parser.add_argument("target", metavar="RUN|MODEL")
    add_overrides(parser)


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the held-out figures; settings choose seeds and sizes (data.*, evaluation.*, seed).

    Raises:
        UserError: a setting does not change an evaluation, or the target is neither a run with weights nor a model.
    """
    from rich.console import Console
    from rich.table import Table

    from superalign.commands.target import open_target
    from superalign.config.compose import load
    from superalign.config.schema import Config
    from superalign.data.seeds import load_seeds
    from superalign.evaluation import harness
    from superalign.evaluation.refinement import refined_success
    from superalign.roles.critic.registry import critic_class
    from superalign.roles.judge import make_judge
    from superalign.roles.learner import Learner
    from superalign.store.adapters import load_memory

    target, overrides = arguments.target, arguments.overrides
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
    questions = harness.build_set(config, load_seeds(config.data, config.seed), judge, config.evaluation.final_factor)
    critic = critic_class(config)(config, generator, None)
    if run:
        critic.restore(load_memory(run)["critic"], [])  # calibration and heads, without the labels
    learner = Learner(config, generator, None)
    found = harness.evaluate(config, questions, learner, critic, judge).metrics
    if refined := refined_success(config, questions.refined, generator, learner, judge):
        found["attack_success_rate_refinement"] = refined
    table = Table("figure", "value", "95 % interval", "n", title=f"{target}, graded by {judge.name}")
    for name, e in found.items():
        table.add_row(name, f"{e.value:.3f}", f"{e.low:.3f} to {e.high:.3f}", str(e.n))
    Console().print(table)
    return 0
