"""`superalign train --dry-run`: what would run, and what it would take. Nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.planning.run_plan import Calls, RoundPlan, RunPlan, Training
from superalign.store.adapters import TRAINED
from superalign.store.folder import RunFolder

if TYPE_CHECKING:
    from superalign.planning.footprint import Memory, Size

Line = tuple[str, Callable[[RoundPlan], int]]
REWARD: Final = "reward_model"


def tell(config: Config, recipe: Any) -> None:
    """Print it.

    Args:
        config: the settings.
        recipe: the module that would run; what it has no `plan` of is not counted.
    """
    plan: RunPlan | None = recipe.plan(config) if hasattr(recipe, "plan") else None
    print(f"{'recipe':<10} {config.recipe}\n{'run':<10} {_run(config)}")
    if plan is None:
        _models(config, TRAINED, [])
        _services(config)
        print(f"calls, steps and time are not estimated: recipe={config.recipe} has no plan(config)")
        return
    training = [each for one in plan.rounds for each in one.training]
    roles = [role for role in (*TRAINED, REWARD) if role in {each.role for each in training} | _asked_roles(plan)]
    _data(config, roles)
    sizes = _models(config, roles, training) if roles else {}
    if set(roles) & set(TRAINED):
        _services(config)
    if plan.rounds:
        print("\nAt most, as the settings say; answers that end early and equal texts make it less:")
        _table(plan)
        print(_time(config, plan, sizes))
    for note in plan.notes:
        print(note)


def _data(config: Config, roles: Sequence[str]) -> None:
    """Print what was understood of the seeds, or of the preferences, that these roles learn from."""
    from superalign.data.preferences import read_pairs
    from superalign.data.seeds import read_seeds

    lines = read_pairs(config).summary.lines() if REWARD in (*roles, config.recipe) else []
    lines += read_seeds(config.data, config.seed).summary.lines() if set(roles) & set(TRAINED) else []
    for number, line in enumerate(lines):
        print(f"{'' if number else 'data':<10} {line}")


def _asked_roles(plan: RunPlan) -> set[str]:
    return {call.role for one in plan.rounds for call in one.calls}


def _models(config: Config, roles: Sequence[str], training: Sequence[Training]) -> dict[str, Size]:
    """Print the models with the memory that they take; returns their sizes where all are known."""
    from superalign.planning.footprint import memory, row_tokens, size_of

    sizes: dict[str, Size] = {}
    models = {role: config.model_of(role) for role in roles}
    for model in dict.fromkeys(models.values()):
        try:
            size = sizes[model] = size_of(model, config.lora.r)
        except UserError as error:
            print(f"{'model':<10} {error}")
            continue
        told = ", ".join(role.replace("_", " ") for role in roles if models[role] == model)
        print(f"{'model':<10} {model}: {size.parameters:,} parameters; an adapter of {size.adapter:,} each: {told}")
    if len(sizes) < len(set(models.values())):
        return {}
    for process in memory(config, sizes, models, training):
        print(f"{'memory':<10} {_memory(process)}")
    if training:
        print(f"{'':<10} activations: of rows of {row_tokens(config)} tokens, all as long as they may be")
    return sizes


def _services(config: Config) -> None:
    """Print who takes part, and where."""
    attacker, critic, learner, expert = config.attacker, config.critic, config.learner, config.expert
    labels = f"{expert.source}, {expert.budget} labels a round at most" if expert.budget else "none"
    print(
        f"{'roles':<10} attacker={attacker.kind}, critic={critic.kind}, learner={learner.algorithm}, "
        f"judge={config.evaluation.judge}; experts: {labels}"
    )
    generator, cluster = config.generator, config.cluster
    where = "one process" if cluster.mode == "inline" else f"actors on Ray ({cluster.address})"
    print(
        f"{'services':<10} {where}; generator={generator.backend}, {_count(generator.engines, 'engine')}, "
        f"{generator.dtype}; trainer: {_count(cluster.learner_workers, 'worker')}, {config.trainer.dtype}"
    )


def _run(config: Config) -> str:
    """Where the run would be, and how far it is if it is there already."""
    if config.run.name is None:
        return f"a new folder in {config.run.root}"
    folder = Path(config.run.root) / config.run.name
    if not (folder / "format").is_file():
        return f"{folder}, which would be new"
    last = RunFolder(folder).last_round()
    return f"{folder}, which " + ("has no round yet" if last is None else f"would go on after round {last}")


def _memory(process: Memory) -> str:
    parts = ", ".join(f"{name} {_bytes(size)}" for name, size in process.parts.items() if size)
    each = "" if process.times == 1 else f"each of {process.times} "
    return f"{each}{process.process}: about {_bytes(process.total)} ({parts})"


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(plan: RunPlan) -> None:
    """Every number by kind of round, and of the whole run."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in (*(one.title for one in plan.rounds), "whole run"):
        table.add_column(title, justify="right")
    for name, count in _lines(plan):
        numbers = [*(count(one) for one in plan.rounds), plan.total(count)]
        if numbers[-1]:
            table.add_row(name, *(f"{number:,}" for number in numbers))
    Console().print(table)


def _lines(plan: RunPlan) -> list[Line]:
    """What is counted."""
    work = [each for one in plan.rounds for each in one.work]
    stages = list(dict.fromkeys(each.stage for each in work if isinstance(each, Calls)))
    roles = list(dict.fromkeys(each.role for one in plan.rounds for each in one.training))
    lines = [(f"generation calls, {stage.replace('_', ' ')}", _asked(stage)) for stage in stages]
    lines += [
        ("generation calls", lambda one: sum(c.count for c in one.calls)),
        ("new tokens", lambda one: sum(c.tokens for c in one.calls)),
        ("verdicts (texts scored)", lambda one: sum(v.count for v in one.verdicts)),
    ]
    for role in roles:
        for what in ("rows", "steps", "tokens"):
            lines.append((f"{role.replace('_', ' ')} training, {what}", _trained(role, what)))
    return [*lines, ("expert labels", lambda one: one.labels)]


def _asked(stage: str) -> Callable[[RoundPlan], int]:
    return lambda one: sum(each.count for each in one.calls if each.stage == stage)


def _trained(role: str, what: str) -> Callable[[RoundPlan], int]:
    def count(one: RoundPlan) -> int:
        mine = [each for each in one.training if each.role == role]
        return sum(each.rows * each.phases if what == "rows" else getattr(each, what) for each in mine)

    return count


def _time(config: Config, plan: RunPlan, sizes: dict[str, Size]) -> str:
    """The time of the models' work, or why it is not estimated."""
    from superalign.planning.timing import LIMIT_S, measure, too_large

    if not sizes:
        return "time is not estimated: the model's size is not known here"
    if why := too_large(config, [size.parameters for size in sizes.values()]):
        return f"time is not estimated: {why}"
    if (timing := measure(config)) is None:
        return f"time is not estimated: a timing of the model took more than {LIMIT_S:.0f} s here; one round tells it"
    total = math.fsum(one.times * timing.seconds(one) for one in plan.rounds)
    each = ", ".join(f"{one.title} {_duration(timing.seconds(one))}" for one in plan.rounds)
    return (
        f"time, at most about {_duration(total)} for the models' work ({each}), by a timing of {timing.took:.0f} s on "
        "this machine; starting, statistics and reports come beside"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
