"""`superalign config`: print the resolved settings, or say what they mean."""

from __future__ import annotations

import argparse
import shutil
import sys

from superalign.commands.parser import Verbs, add_overrides


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("config", config, "print the resolved configuration, or say what a setting means")
    add_overrides(parser)
    parser.add_argument(
        "--explain",
        nargs="?",
        const="",
        metavar="KEY",
        help="value, meaning, range, default and source of a setting or a section; of all without KEY",
    )


def config(arguments: argparse.Namespace) -> int:
    """Print it as YAML, or explained.

    Raises:
        UserError: the settings are wrong, or there is no such key.
    """
    if arguments.explain is not None:
        return _explain(arguments.explain, arguments.overrides)
    import yaml

    from superalign.config.compose import load

    resolved = load(arguments.overrides).model_dump(mode="json")
    # What the encoding lacks is escaped: settings are printed to be read back.
    anything = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    print(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=anything), end="")
    return 0


def _explain(key: str, overrides: list[str]) -> int:
    from superalign.config.explain import explain
    from superalign.config.layers import SUFFIXES

    if "=" in key or key.endswith(SUFFIXES):  # settings right behind --explain
        key, overrides = "", [key, *overrides]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(explain(overrides, key or None, width))
    return 0
