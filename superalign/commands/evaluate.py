"""`superalign eval`: evaluate a run's last weights, or a bare model, without training."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from superalign.commands import shown
from superalign.commands.parser import Verbs, add_overrides
from superalign.errors import UserError

if TYPE_CHECKING:
    from superalign.config.schema import Config
    from superalign.evaluation.judge_check import JudgeCheck
    from superalign.stats.estimate import Estimate
    from superalign.store.folder import RunFolder

ASKED: Final = ("data", "evaluation", "judge", "models", "plugin", "seed")


@dataclass(frozen=True)
class Found:
    """What an evaluation found.

    Attributes:
        config: the settings that it was made with.
        run: the run whose weights they are; None of a bare model.
        checks: of the judge: of acceptable answers, and of compliance where requests on real text are asked.
        figures: by name.
        measured_on: what some of them were measured on.
    """

    config: Config
    run: RunFolder | None
    checks: list[JudgeCheck]
    figures: dict[str, Estimate]
    measured_on: Mapping[str, str] = field(default_factory=dict)


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("eval", evaluate, "evaluate a run or a model on held-out requests")
    parser.add_argument("target", metavar="RUN|MODEL")
    add_overrides(parser)
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there, too, as fractions")


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the held-out figures, those of suites and on real text; settings choose them (data.*, evaluation.*, seed).

    Raises:
        UserError: a setting does not change an evaluation, the target is neither a run with weights nor a model, or
            the output cannot be written.
    """
    output = _output(arguments.output)
    from superalign.store.clock import Plan
    from superalign.store.live import RunProgress

    progress = RunProgress(arguments.target, Plan(0))
    try:
        found = _evaluated(arguments.target, arguments.overrides, progress)
    finally:
        progress.close()
    _print(f"{arguments.target}, graded by {found.checks[0].judge}", found.figures)
    for check in found.checks:
        if not check.exact:
            print(check)
    if output is not None:
        _write(output, _told(arguments.target, found))
    return 0


def _evaluated(target: str, overrides: list[str], progress: Any) -> Found:
    def begin(what: str) -> None:
        progress.doing(what)
        if not progress.console.is_terminal:
            progress.say(what)

    progress.doing("loading the model")  # on a terminal at once; elsewhere a refusal stays the only line
    from superalign.commands.target import find_target, open_target
    from superalign.config.compose import load
    from superalign.data.seeds import read_seeds
    from superalign.evaluation import harness
    from superalign.evaluation.judging import check_by_settings, reported
    from superalign.evaluation.real_text.measuring import measure_real_text
    from superalign.evaluation.real_text.sets import read_sets
    from superalign.evaluation.refinement import refined_success
    from superalign.evaluation.suites import Examined, suite_figures
    from superalign.loop.real_text import measured_first
    from superalign.roles.critic.registry import critic_class
    from superalign.roles.judge import make_judge
    from superalign.roles.learner import Learner
    from superalign.store.adapters import load_memory

    chosen = load(overrides).model_dump()
    _check(overrides)
    find_target(target)
    begin("loading the model")
    config, generator, run = open_target(target)
    config = _with(config, overrides, chosen)
    judge = make_judge(config, generator)
    begin("reading the requests")
    seeds = read_seeds(config.data, config.seed)
    real_sets = read_sets(config, (s.text for s in seeds.seeds if s.split == "train"))
    for line in (*seeds.summary.lines(), *real_sets.told):
        progress.say(line)
    questions = harness.build_set(config, seeds.seeds, judge, config.evaluation.final_factor)
    critic = critic_class(config)(config, generator, None)
    if run:
        critic.restore(load_memory(run)["critic"], [])  # calibration and heads, without the labels
    learner = Learner(config, generator, None)
    begin("answering and judging")
    check = check_by_settings(judge, config)
    evaluation = harness.evaluate(config, questions, learner, critic, judge)
    found = evaluation.metrics
    if config.evaluation.refinement:
        begin("refining attacks")
    if refined := refined_success(config, questions.refined, generator, learner, judge):
        found["attack_success_rate_refinement"] = refined
    checks = [check.on(judge, [(query, response) for query, response, *_ in evaluation.cases])]
    found, examined = reported(found, checks[0]), Examined(config, learner, judge, generator)
    if config.evaluation.suites:
        begin("running suites")
    found |= suite_figures(examined)
    if real_sets:
        begin("measuring on real text")
        real = measure_real_text(real_sets, examined, measured_first(run) if run else ())
        found |= real.metrics
        checks += [real.check] if real.check else []
    return Found(config, run, checks, found, evaluation.measured_on)


def _keys(overrides: list[str]) -> list[str]:
    return [override.partition("=")[0].lstrip("+") for override in overrides]


def _check(overrides: list[str]) -> None:
    """Refuse settings that do not change an evaluation.

    Raises:
        UserError: one of them does not.
    """
    for key in _keys(overrides):
        if key.partition(".")[0] not in ASKED:
            raise UserError(f"{key} does not change an evaluation; what does is {', '.join(ASKED)}")


def _with(config: Config, overrides: list[str], chosen: Mapping[str, Any]) -> Config:
    """The settings of the target with those that were asked for."""
    settings = config.model_dump()
    for section, _, name in (key.partition(".") for key in _keys(overrides)):
        if name:
            name = name.split(".")[0]
            own, given = settings[section][name], chosen[section][name]
            # Further files beside those of the run: evaluation.requests.NAME=FILE.
            settings[section][name] = {**own, **given} if section == "evaluation" and isinstance(own, dict) else given
        else:
            settings[section] = chosen[section]
    return type(config).model_validate(settings)


def _print(title: str, found: Mapping[str, Estimate]) -> None:
    from rich.table import Table
    from rich.text import Text

    from superalign.commands.opened import screen
    from superalign.stats.format import interval, number

    table = Table("figure", "value", "95 % interval", "n", title=Text(title), title_justify="left")
    for name, e in found.items():
        unit = shown.unit(name)
        table.add_row(*map(Text, (shown.title(name), number(e.value, unit), interval(e, unit), str(e.n))))
    screen().print(table)


def _told(target: str, found: Found) -> dict[str, Any]:
    """What `--output` holds; figures as fractions."""
    settings, run, check = found.config.model_dump(mode="json"), found.run, found.checks[0]
    figures = [
        {"name": name, "title": shown.title(name), **e.to_dict(), "measured_on": found.measured_on.get(name)}
        for name, e in found.figures.items()
    ]
    compliance = {"compliance": found.checks[1].to_row()} if len(found.checks) > 1 else {}
    return {
        "target": target,
        "run": str(run.folder.resolve()) if run else None,
        "round": run.last_round() if run else None,
        "model": found.config.model_of("learner"),
        "judge": {"name": check.judge, "exact": check.exact, "check": check.to_row(), **compliance},
        "interval": "95 %",
        "figures": figures,
        "settings": {key: settings[key] for key in ASKED if key in settings},
        "superalign": metadata.version("superalign"),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _output(given: str | None) -> Path | None:
    """Where figures are to be written, looked at before they take minutes.

    Raises:
        UserError: no file can be written there.
    """
    if given is None:
        return None
    path = Path(given).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in no folder ({path.parent} is not there)"
        raise UserError(f"--output {given} {what}: give a file, for example figures.json")
    return path


def _write(path: Path, told: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {path} cannot be written ({error.strerror})") from None
