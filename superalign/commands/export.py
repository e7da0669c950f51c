"""`superalign export`: a run's model, or what it learned from, as a folder or in a repository of the hub."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from superalign.commands.parser import Verbs
from superalign.errors import UserError

if TYPE_CHECKING:
    from superalign.store.folder import RunFolder

HUB: Final = "hub:"
ROLES: Final = ("learner", "attacker", "critic")
DTYPES: Final = ("float32", "bfloat16")


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add("export", export, "write a run's adapter, merged model or data with a card, for others to use")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--to", required=True, metavar="FOLDER|hub:OWNER/NAME", help="a new folder, or a repository")
    parser.add_argument("--role", choices=ROLES, default="learner", help="whose adapter (default: learner)")
    parser.add_argument("--round", type=int, metavar="N", help="default: the last committed one")
    parser.add_argument("--merged", action="store_true", help="the base with the adapter merged into it")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of a merged model (default: float32)")
    parser.add_argument("--data", action="store_true", help="preferences and labels in the place of a model")
    parser.add_argument("--public", action="store_true", help="a new repository of the hub is private without it")


def export(arguments: argparse.Namespace) -> int:
    """Write the folder, send it to the hub if that was asked, and say where it is.

    Raises:
        UserError: the run has no such round, the folder is not empty, or the hub refuses.
    """
    from superalign.report import exporting
    from superalign.store.folder import RunFolder

    run = RunFolder.open(arguments.run)
    number = _round(run, arguments.round)
    if arguments.dtype != DTYPES[0] and not arguments.merged:
        raise UserError(f"--dtype={arguments.dtype} is of a merged model: add --merged, or leave it out")

    def write(folder: Path) -> None:
        if arguments.data:
            exporting.write_data(run, number, folder)
        else:
            dtype = arguments.dtype if arguments.merged else None
            exporting.write_model(run, number, arguments.role, folder, dtype)

    if arguments.to.startswith(HUB):
        with tempfile.TemporaryDirectory() as scratch:
            write(Path(scratch))
            name = arguments.to.removeprefix(HUB)
            print(exporting.send(Path(scratch), name, "dataset" if arguments.data else "model", arguments.public))
        return 0
    folder = Path(arguments.to).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--to={folder}: something is there already; give a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        write(made)
        made.replace(folder)
    print(folder.resolve())
    return 0


def _round(run: RunFolder, asked: int | None) -> int:
    """The round that is exported.

    Raises:
        UserError: it is not committed.
    """
    committed = run.rounds()
    if not committed:
        raise UserError(f"{run.folder} has committed no round yet, so there is nothing to export")
    if asked is None:
        return committed[-1]
    if asked not in committed:
        raise UserError(f"--round={asked}: {run.folder} has committed rounds {committed[0]} to {committed[-1]}")
    return asked
