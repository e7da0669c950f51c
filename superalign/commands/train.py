"""`superalign train`: run a recipe, or a sweep of runs, or tell what would run."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from superalign.commands.parser import Verbs, add_overrides, positive
from superalign.errors import UserError

ACCEPT: Final = "run.accept_changes=true"


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("train", train, "run a recipe; a run.name that exists resumes")
    add_overrides(parser)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on with a run though seeds, models or prompts that it depends on have changed, and record that",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would run, with estimates, and stop")
    parser.add_argument("--multirun", action="store_true", help="a run for each combination of values: seed=1,2,3")
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="--multirun: how many run at a time (default: %(default)s)",
    )


def train(arguments: argparse.Namespace) -> int:
    """Run what the settings describe; the exit code is the recipe's.

    Raises:
        UserError: the settings are wrong, or the recipe refuses them.
    """
    if arguments.jobs > 1 and not arguments.multirun:
        raise UserError("--jobs is for --multirun: it says how many runs go on at a time")
    words = [*arguments.overrides, *([ACCEPT] if arguments.accept_changes else [])]
    if arguments.multirun:
        from superalign.config.sweep import sweep

        runs = sweep(words)
        if len(runs) > 1:
            from superalign.commands.multirun import named, run_all

            if not arguments.dry_run:
                arguments.runs = runs  # for whoever is interrupted
                return run_all(named(runs), arguments.jobs)
            for name, words in named(runs).items():
                print(f"run {name}")
                _run(words, dry=True)
                print()
            return 0
    return _run(words, arguments.dry_run)


def _run(words: list[str], dry: bool = False) -> int:
    """One run, or what it would be."""
    if not dry and sys.stderr.isatty():  # importing what a recipe needs takes seconds, before it can say anything
        print("setting up: settings, libraries, data", file=sys.stderr)
    from superalign.config.compose import load
    from superalign.config.recipes import load_recipe

    config = load(words)
    recipe = load_recipe(config.recipe)
    if not dry:
        return int(recipe.main(config))
    from superalign.commands.dry_run import tell

    tell(config, recipe)
    return 0
