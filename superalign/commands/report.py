"""`superalign report`: write a run's report page."""

from __future__ import annotations

import argparse

from superalign.commands.parser import Verbs


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add("report", report, "write the run's report.html").add_argument("run", metavar="RUN")


def report(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from superalign.report.page import write
    from superalign.store.folder import RunFolder

    print(write(RunFolder.open(arguments.run).folder).resolve())
    return 0
