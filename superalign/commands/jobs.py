"""`superalign submit` and `stop`, and what `status` and `logs` take: the verbs around runs on a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Callable

OVERRIDES = "settings as key=value, for example recipe=selfplay seed=1 cluster=inline"


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line; `add(name, verb, help)` makes one."""
    parser = add("submit", submit, "run a recipe as a job on a Ray cluster; submitted again, it resumes")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES)
    parser.add_argument("--job", metavar="FILE", help="a job spec, or the name of one in recipes/jobs/")
    parser.add_argument("--no-wait", action="store_true", help="return at once; otherwise the job's log is followed")
    add_address(parser)
    parser = add("stop", stop, "stop a run: its job, or its process on this machine")
    parser.add_argument("run", metavar="RUN")
    add_address(parser)


def add_address(parser: argparse.ArgumentParser) -> None:
    """Let a verb be told which cluster is meant."""
    parser.add_argument(
        "--address",
        metavar="HOST:PORT|http://...",
        help="the Ray cluster (default: RAY_ADDRESS, else the one that `ray start --head` announced here)",
    )


def submit(arguments: argparse.Namespace) -> int:
    """Submit a run and follow it; the exit code is the job's."""
    from superalign.runtime import job_spec
    from superalign.runtime.submit import submit as run

    asked = job_spec.read(arguments.job) if arguments.job else job_spec.JobSpec()
    return run(arguments.overrides, asked, arguments.address, wait=not arguments.no_wait)


def stop(arguments: argparse.Namespace) -> int:
    """Stop a run and wait until it is."""
    from superalign.runtime.stop import stop as end

    end(arguments.run, arguments.address, print)
    return 0
