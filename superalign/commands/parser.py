"""What the verbs share on the command line: how one is added, how numbers are read, how a mistake is told."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from superalign.errors import UserError

Verb = Callable[[argparse.Namespace], int]
OVERRIDES: Final = "files of settings (my.yaml), then settings as key=value, for example recipe=selfplay seed=1"


class Parser(argparse.ArgumentParser):
    """argparse, with mistakes as one line that names the nearest valid word."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed.

        Raises:
            UserError: always.
        """
        if match := re.fullmatch(r"argument (\S+): invalid choice: '?(.*?)'? \(choose from .*", message, re.DOTALL):
            name, word = match.groups()
            known = next(action.choices for action in self._actions if name in (action.metavar, *action.option_strings))
            close = difflib.get_close_matches(word, known or (), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(f"unknown {name.lower()} {word!r}{hint} (there is: {', '.join(known or ())})")
        message = message.replace("the following arguments are required", "missing")
        raise UserError(f"{message} (see {self.prog} --help)")

    def read(self, given: list[str]) -> argparse.Namespace:
        """The parsed command line; settings may stand on both sides of an option.

        Raises:
            UserError: it cannot be parsed.
        """
        parsed, rest = self.parse_known_args(given)
        if unknown := [word for word in rest if word.startswith("-") or not hasattr(parsed, "overrides")]:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        if rest:
            parsed.overrides = [*parsed.overrides, *rest]
        return parsed


class Verbs:
    """The verbs of a command line, to which each file of `superalign.commands` adds its own."""

    def __init__(self, root: argparse.ArgumentParser) -> None:
        self._chosen = root.add_subparsers(metavar="VERB", required=True, dest="name")

    def add(self, name: str, verb: Verb, help: str, to: Any = None, **defaults: Any) -> argparse.ArgumentParser:
        """A verb, or an action of the group `to`; returns its parser, for its arguments."""
        actions = self._chosen if to is None else to
        made: argparse.ArgumentParser = actions.add_parser(name, help=help, description=help, allow_abbrev=False)
        made.set_defaults(verb=verb, **defaults)
        return made

    def group(self, name: str, help: str) -> Any:
        """A verb that has actions."""
        made = self._chosen.add_parser(name, help=help, description=help, allow_abbrev=False)
        return made.add_subparsers(metavar="ACTION", required=True, dest="action")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Let a verb be told settings."""
    parser.add_argument("overrides", nargs="*", metavar="FILE.yaml|KEY=VALUE", help=OVERRIDES)


def add_address(parser: argparse.ArgumentParser) -> None:
    """Let a verb be told which cluster is meant."""
    parser.add_argument(
        "--address",
        metavar="HOST:PORT|http://...",
        help="the Ray cluster (default: RAY_ADDRESS, else the one that `ray start --head` announced on this machine)",
    )


def positive(text: str) -> int:
    """A whole number above 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number above 0")
    return int(text)


def seed(text: str) -> int:
    """A whole number that can seed random draws.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number that is 0 or more, below 2**63")
    return int(text)


def not_negative(text: str) -> float:
    """A number that is 0 or more.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} should be a number that is 0 or more")
    return value
