"""`superalign submit` and `stop`, and what `status` and `logs` take: the verbs around runs on a cluster."""

from __future__ import annotations

import argparse
import sys

from superalign.commands.parser import Verbs, add_address, add_overrides
from superalign.errors import UserError


def register(verbs: Verbs) -> None:
    """Add the verbs to the command line."""
    parser = verbs.add("submit", submit, "run a recipe as a job on a Ray cluster; submitted again, it resumes")
    add_overrides(parser)
    parser.add_argument("--job", metavar="FILE", help="YAML that describes the job: a file, or a name in recipes/jobs/")
    parser.add_argument("--no-wait", action="store_true", help="return at once; otherwise the job's log is followed")
    parser.add_argument(
        "--multirun", action="store_true", help="a job for each combination of values (seed=1,2,3); returns at once"
    )
    add_address(parser)
    parser = verbs.add("stop", stop, "stop a run: its job, or its process on this machine")
    parser.add_argument("run", metavar="RUN")
    add_address(parser)


def submit(arguments: argparse.Namespace) -> int:
    """Submit a run and follow it; the exit code is the job's. Of several runs each is a job, and none is followed.

    Raises:
        UserError: see `superalign.runtime.submit.submit`.
    """
    from superalign.runtime import job_spec
    from superalign.runtime.submit import ordered
    from superalign.runtime.submit import submit as run

    asked = job_spec.read(arguments.job) if arguments.job else job_spec.JobSpec()
    if not arguments.multirun:
        return run(arguments.overrides, asked, arguments.address, wait=not arguments.no_wait)
    from superalign.config.sweep import sweep

    alone, code = asked.model_copy(update={"overrides": ()}), 0
    for words in sweep(ordered(asked, arguments.overrides)):
        try:
            code |= run(words, alone, arguments.address, wait=False)
        except UserError as error:
            print(f"superalign: {error}", file=sys.stderr)
            code = 1
    return code


def stop(arguments: argparse.Namespace) -> int:
    """Stop a run and wait until it is."""
    from superalign.runtime.stop import stop as end

    end(arguments.run, arguments.address, print)
    return 0
