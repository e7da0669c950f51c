"""Evaluate a run's last weights, or a bare model, without training (`superalign eval`)."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from superalign.compose import load
from superalign.data import load_seeds
from superalign.evaluation.harness import build_set, evaluate
from superalign.evaluation.judges import make_judge
from superalign.generation.talk import open_target
from superalign.roles.critic import Critic
from superalign.roles.learner import Learner


def evaluate_target(target: str, overrides: Sequence[str]) -> int:
    """Print the held-out figures; `overrides` choose seeds and sizes (data.*, evaluation.*, seed)."""
    config, generator = open_target(target)
    chosen = load(overrides)
    keys = {override.split("=")[0].split(".")[0] for override in overrides}
    config = config.model_copy(update={k: getattr(chosen, k) for k in keys & {"data", "evaluation", "seed"}})
    judge = make_judge(config, generator)
    questions = build_set(config, load_seeds(config.data, config.seed), judge, config.evaluation.final_factor)
    critic = Critic(config, generator, None)
    found = evaluate(config, questions, Learner(config, generator, None), critic, judge)
    table = Table("figure", "value", "95 % interval", "n", title=f"{target}, graded by {judge.name}")
    for name, e in found.metrics.items():
        table.add_row(name, f"{e.value:.3f}", f"{e.low:.3f} to {e.high:.3f}", str(e.n))
    Console().print(table)
    return 0
