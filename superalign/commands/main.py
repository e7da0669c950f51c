"""The verbs. Nothing heavy is imported before a verb is chosen, so that `--help` comes at once."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from superalign.commands import experts as expert_verbs
from superalign.commands import jobs as cluster_verbs
from superalign.commands.jobs import OVERRIDES, add_address
from superalign.config.paths import groups, recipe_path
from superalign.errors import ActorLost, UserError
from superalign.registry import METHODS, TASKS

if TYPE_CHECKING:
    from superalign.store.folder import RunFolder

Verb = Callable[[argparse.Namespace], int]

# Verbs and actions that do nothing but print.
SHOWING = {"config", "describe", "doctor", "logs", "samples", "stats", "status", "-h", "--help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (2 for a user's mistake, 130 when interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed = parser().parse_args(given)
        verb: Verb = parsed.verb
        return verb(parsed)
    except UserError as error:
        return _complain(str(error), 2)
    except ActorLost as error:
        return _complain(f"{error}; {_how_to_resume(given)}", 1)
    except KeyboardInterrupt:
        return _complain(f"interrupted; {_how_to_resume(given)}", 130)
    except BrokenPipeError as error:
        if getattr(error, "__notes__", ()):  # an actor's pipe, not ours
            raise
        # The reader (head, less) has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if SHOWING.intersection(given[:2]):
            return 0
        return _complain(f"whoever read the output has gone; {_how_to_resume(given)}", 1)


def train(arguments: argparse.Namespace) -> int:
    """Run a recipe from the resolved configuration."""
    from superalign.config.compose import load

    config = load(arguments.overrides)
    return int(_recipe(config.recipe).main(config))


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate a run or a model on held-out requests."""
    from superalign.commands.evaluate import evaluate_target

    return evaluate_target(arguments.target, arguments.overrides)


def report(arguments: argparse.Namespace) -> int:
    """Write a run's report page."""
    from superalign.report.page import write
    from superalign.store.folder import RunFolder

    print(write(RunFolder.open(arguments.run).folder).resolve())
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Show a run's progress, logs or samples."""
    from rich.console import Console

    from superalign.commands import inspect as view

    run, console = arguments.run, Console()
    if arguments.action == "status":
        view.status(run, console, address=arguments.address)
    elif arguments.action == "logs":
        view.logs(run, console, actor=arguments.actor, follow=arguments.follow, address=arguments.address)
    else:
        view.samples(run, console, reveal=arguments.reveal, limit=arguments.n)
    return 0


def generate(arguments: argparse.Namespace) -> int:
    """Talk to a role of a run, or to a model."""
    from superalign.commands.generate import talk

    return int(
        talk(
            arguments.target,
            role=arguments.role,
            prompt=arguments.prompt,
            max_new_tokens=arguments.max_new_tokens,
            temperature=arguments.temperature,
            seed=arguments.seed,
        )
        or 0
    )


def testbed(arguments: argparse.Namespace) -> int:
    """Build a model of the testbed, or describe its world."""
    if arguments.action == "build":
        from superalign.testbed.build import main as build

        return int(build(arguments) or 0)
    from superalign.testbed.describe import main as describe

    return int(describe() or 0)


def config(arguments: argparse.Namespace) -> int:
    """Print the resolved configuration as YAML."""
    import yaml

    from superalign.config.compose import load

    resolved = load(arguments.overrides).model_dump(mode="json")
    print(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True), end="")
    return 0


def doctor(_: argparse.Namespace) -> int:
    """Tell what this machine has and lacks."""
    from superalign.commands.doctor import main as examine

    return examine()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number above 0")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number that is 0 or more, below 2**63")
    return int(text)


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} should be a number that is 0 or more")
    return value


class _Parser(argparse.ArgumentParser):
    """argparse, with mistakes as one line that names the nearest valid word."""

    def error(self, message: str) -> NoReturn:
        if match := re.fullmatch(r"argument (\S+): invalid choice: '?(.*?)'? \(choose from .*", message, re.DOTALL):
            name, word = match.groups()
            known = next(action.choices for action in self._actions if name in (action.metavar, *action.option_strings))
            close = difflib.get_close_matches(word, known or (), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(f"unknown {name.lower()} {word!r}{hint} (there is: {', '.join(known or ())})")
        message = message.replace("the following arguments are required", "missing")
        raise UserError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The command line; its help lists recipes and groups with one line each."""
    root = _Parser(
        prog="superalign",
        description="Attacker, critic, learner and experts improve a language model together, round by round.",
        epilog=_options(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    chosen = root.add_subparsers(metavar="VERB", required=True, dest="name")

    def add(name: str, verb: Verb, help: str, to: Any = chosen, **defaults: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = to.add_parser(name, help=help, description=help, allow_abbrev=False)
        made.set_defaults(verb=verb, **defaults)
        return made

    def add_group(name: str, help: str) -> Any:
        made = chosen.add_parser(name, help=help, description=help, allow_abbrev=False)
        return made.add_subparsers(metavar="ACTION", required=True, dest="action")

    add("train", train, "run a recipe; a run.name that exists resumes").add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES
    )
    made = add("eval", evaluate, "evaluate a run or a model on held-out requests")
    made.add_argument("target", metavar="RUN|MODEL")
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES)

    cluster_verbs.register(add)
    expert_verbs.register(
        add, add_group("experts", "serve, answer, export, import, count or check what waits for experts")
    )

    add("report", report, "write the run's report.html").add_argument("run", metavar="RUN")
    made = add("status", inspect, "how far the run is, its figures and time by stage", action="status")
    made.add_argument("run", metavar="RUN")
    add_address(made)
    made = add("logs", inspect, "the logs of the run's processes", action="logs")
    made.add_argument("run", metavar="RUN")
    made.add_argument("--actor", help="only this process, for example critic")
    made.add_argument("--follow", action="store_true", help="go on as lines are written")
    add_address(made)
    made = add("samples", inspect, "the most telling samples, their text hidden", action="samples")
    made.add_argument("run", metavar="RUN")
    made.add_argument("--reveal", action="store_true", help="show the text; it may be harmful")
    made.add_argument("-n", type=int, default=10, help="how many (default: %(default)s)")

    made = add("generate", generate, "talk to a role of a run, or to a model")
    made.add_argument("target", metavar="RUN|MODEL")
    made.add_argument("--role", default="learner", choices=("attacker", "critic", "learner"))
    made.add_argument("--prompt", help="one request; without it, a conversation on standard input")
    made.add_argument("--max-new-tokens", type=_positive, default=128)
    made.add_argument("--temperature", type=_not_negative, default=0.0, help="0 takes the likeliest token (default)")
    made.add_argument("--seed", type=_seed, default=0)

    actions = add_group("testbed", "the embedded world: build its models, or describe it")
    made = add("build", testbed, "train tokenizer and model from fixed seeds", actions)
    made.add_argument("--size", default="base", choices=("base", "small"), help="small is clearly weaker than base")
    made.add_argument("--out", help="default: the folder of the shipped model of that size")
    made.add_argument("--seed", type=_seed, default=0)
    made.add_argument("--steps", type=_positive, help="default: those of the shipped model of that size")
    made.add_argument("--threads", type=_positive, default=2)
    add("describe", testbed, "what the world consists of and what is held out", actions)

    add("config", config, "print the resolved configuration").add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES
    )
    add("doctor", doctor, "versions, devices, and what is missing")
    return root


def _options() -> str:
    lines = ["settings (KEY=VALUE; `superalign config` prints them all):"]
    for group, options in sorted(groups().items(), key=lambda item: item[0] != "recipe"):
        lines += [f"  {f'{group}={name}':<20} {described}" for name, described in options.items()]
    lines.append("recipe=weak_to_strong goes through tasks and methods (several may be named, with commas between):")
    lines += [f"  {f'task={name}':<20} {described}" for name, described in TASKS.names().items()]
    lines += [f"  {f'method={name}':<20} {described}" for name, described in METHODS.names().items()]
    return "\n".join(lines)


def _recipe(name: str) -> ModuleType:
    path = recipe_path(name)
    spec = importlib.util.spec_from_file_location(f"superalign_recipe_{name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"recipe {name!r} has no file {path}")
    module = importlib.util.module_from_spec(spec)
    # A dataclass with postponed annotations looks its module up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _how_to_resume(given: Sequence[str]) -> str:
    """What to type to go on with the run that this process wrote."""
    if not given or given[0] != "train":
        return "nothing was lost"
    from superalign.config.compose import load
    from superalign.store.folder import RunFolder

    settings = load(given[1:]).run
    if settings.name is None:
        written = sorted(Path(settings.root).glob("*/events.jsonl"), key=os.path.getmtime, reverse=True)
        name = next((path.parent.name for path in written if _writer(RunFolder(path.parent)) == os.getpid()), None)
    else:
        name = settings.name if (Path(settings.root) / settings.name / "events.jsonl").exists() else None
    if name is not None:
        words = [*(word for word in given if not word.startswith("run.name=")), f"run.name={name}"]
        return f"resume from the last committed round with: superalign {shlex.join(words)}"
    return "no round was begun, nothing to resume"


def _writer(run: RunFolder) -> int | None:
    """The process that wrote a run last; None where that cannot be read."""
    try:
        return next((event["pid"] for event in reversed(run.events()) if "pid" in event), None)
    except (UserError, OSError, ValueError, TypeError):
        return None


def _complain(message: str, code: int) -> int:
    print(f"superalign: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
