"""`superalign testbed`: build the embedded world's models, or describe the world."""

from __future__ import annotations

import argparse

from superalign.commands.parser import Verbs, positive, seed


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    actions = verbs.group("testbed", "the embedded world: build its models, or describe it")
    parser = verbs.add("build", build, "train tokenizer and model from fixed seeds", actions)
    parser.add_argument("--size", default="base", choices=("base", "small"), help="small is clearly the weaker model")
    parser.add_argument("--out", help="default: the folder of the shipped model of that size")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--steps", type=positive, help="default: those of the shipped model of that size")
    parser.add_argument("--threads", type=positive, default=2)
    verbs.add("describe", describe, "what the world consists of and what is held out", actions)


def build(arguments: argparse.Namespace) -> int:
    """Build a model."""
    from superalign.testbed.build import main

    return int(main(arguments) or 0)


def describe(arguments: argparse.Namespace) -> int:
    """Print what the world consists of."""
    from superalign.testbed.describe import main

    return int(main() or 0)
