"""The command line: its verbs, and what is said when one goes wrong.

Nothing heavy is imported before a verb is chosen, so that `--help` comes at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from superalign.commands import (
    config,
    doctor,
    evaluate,
    experts,
    generate,
    inspect,
    jobs,
    recipe,
    report,
    testbed,
    train,
)
from superalign.commands.parser import Parser, Verb, Verbs
from superalign.commands.resume import how_to_resume
from superalign.config.paths import groups
from superalign.config.recipes import recipes
from superalign.errors import ActorLost, UserError
from superalign.registry import METHODS, TASKS

VERBS: Final = (train, evaluate, jobs, experts, report, inspect, generate, testbed, recipe, config, doctor)
# Verbs and actions that do nothing but print.
SHOWING: Final = {"config", "describe", "doctor", "list", "logs", "samples", "stats", "status", "-h", "--help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (2 for a user's mistake, 130 when interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = argparse.Namespace()
    try:
        parsed = parser().read(given)
        verb: Verb = parsed.verb
        return verb(parsed)
    except UserError as error:
        return _complain(str(error), 2)
    except ActorLost as error:
        return _complain(f"{error}; {how_to_resume(parsed)}", 1)
    except KeyboardInterrupt:
        return _complain(f"interrupted; {how_to_resume(parsed)}", 130)
    except BrokenPipeError as error:
        if getattr(error, "__notes__", ()):  # an actor's pipe, not ours
            raise
        # The reader (head, less) has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if SHOWING.intersection(given[:2]):
            return 0
        return _complain(f"whoever read the output has gone; {how_to_resume(parsed)}", 1)


def parser() -> Parser:
    """The command line; its help lists recipes and groups with one line each."""
    root = Parser(
        prog="superalign",
        description="Attacker, critic, learner and experts improve a language model together, round by round.",
        epilog=_options(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = Verbs(root)
    for module in VERBS:
        module.register(verbs)
    return root


def _options() -> str:
    """What settings can be chosen by name."""
    lines = [
        "settings: KEY=VALUE, after a file of them if there is one (superalign train my.yaml seed=1);",
        "`superalign config` prints them all, `superalign config --explain KEY` says what one means",
    ]
    named = {"recipe": recipes().names()} | {group: options for group, options in groups().items() if group != "recipe"}
    for group, options in named.items():
        lines += _lines(group, options)
    lines += ["a recipe can be a file of yours, too (recipe=path/to/mine.py); `superalign recipe copy` starts one"]
    lines.append("recipe=weak_to_strong runs every method given on every task given (task=qa,pairs method=naive):")
    return "\n".join([*lines, *_lines("task", TASKS.names()), *_lines("method", METHODS.names())])


def _lines(key: str, options: dict[str, str]) -> list[str]:
    return [f"  {f'{key}={name}':<22} {described}" for name, described in options.items()]


def _complain(message: str, code: int) -> int:
    print(f"superalign: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
