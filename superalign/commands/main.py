"""The command line: its verbs, and what is said when one goes wrong.

Nothing heavy is imported before a verb is chosen, so that `--help` comes at once.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from superalign.commands import (
    config,
    doctor,
    evaluate,
    experts,
    export,
    fetch,
    generate,
    inspect,
    jobs,
    judge,
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

VERBS: Final = (
    *(train, evaluate, judge, jobs, experts, report, inspect, generate, export),
    *(fetch, testbed, recipe, config, doctor),
)
PLAIN: Final = "superalign.plain"
SPACES: Final = dict.fromkeys("\N{NARROW NO-BREAK SPACE}\N{NO-BREAK SPACE}", " ")
DASHES: Final = dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}\N{BOX DRAWINGS LIGHT HORIZONTAL}", "-")
LIKE: Final = {**SPACES, **DASHES, "·": "*", "…": "...", "→": "->", "━": "="}
"""What is written for characters of our own words that an encoding lacks."""
# Verbs and actions that do nothing but print.
SHOWING: Final = {"config", "describe", "doctor", "judge", "list", "logs", "samples", "stats", "status", "-h", "--help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (2 for a user's mistake, 130 when interrupted)."""
    _write_what_can_be_written()
    given = [_whole(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    parsed = argparse.Namespace()
    try:
        parsed = parser().read(given)
        verb: Verb = parsed.verb
        return _run(verb, parsed)
    except UserError as error:
        return _complain(str(error), 2)
    except ActorLost as error:
        return _complain(f"{error}; {how_to_resume(parsed)}", 1)
    except KeyboardInterrupt:
        return _complain(f"interrupted; {how_to_resume(parsed)}", 130)
    except BrokenPipeError as error:
        if getattr(error, "__notes__", ()):  # an actor's pipe, not ours
            raise
        _drop_output()
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


def _write_what_can_be_written() -> None:
    """What the encoding of a terminal or pipe lacks is replaced, in what is written and in what is read."""
    codecs.register_error(PLAIN, _plain)
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, PLAIN), (sys.stderr, PLAIN)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The nearest plain characters instead of those that cannot be written; a question mark where there are none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(LIKE.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def _whole(word: str) -> str:
    """A word of the command line; bytes that are no text in the locale's encoding are replaced."""
    return word.encode("utf-8", "replace").decode("utf-8")


def _run(verb: Verb, parsed: argparse.Namespace) -> int:
    """Have a verb do its work, and write out what it printed: at exit it would be too late to tell that this fails.

    Raises:
        BrokenPipeError: whoever read the output has gone.
    """
    try:
        code = verb(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except SystemExit as left:
        if left.code == 1:  # how rich tells of it
            raise BrokenPipeError from left
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _drop_output()
        return _complain(f"the output cannot be written ({error.strerror})", 1)


def _drop_output() -> None:
    """Nobody reads on. Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, code: int) -> int:
    print(f"superalign: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
