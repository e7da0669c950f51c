"""`superalign submit`: a run as a job on a Ray cluster; submitted again, the same run goes on."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
from ray.job_submission import JobDetails, JobStatus

from superalign.config.compose import load, split
from superalign.config.schema import Config
from superalign.errors import UserError
from superalign.runtime.job_spec import JobSpec
from superalign.runtime.jobs import FOLDER, RUN, Jobs, connect
from superalign.store.folder import RunFolder
from superalign.store.run_lock import asks_for_more, check_same_settings, run_name, writer_of

INTERRUPTED: Final = 130
PATH_SETTINGS: Final = (
    "data",
    "data.seeds",
    "data.source",
    "model",
    "attacker.model",
    "critic.model",
    "learner.reward",
)


def submit(overrides: Sequence[str], job_spec: JobSpec, address: str | None = None, wait: bool = True) -> int:
    """Submit a run, or its next try, and follow it to its end; returns 0, 1 or 2 as `train` would.

    Raises:
        UserError: the settings are wrong, no cluster answers, or the run is being written already.
    """
    settings = ordered(job_spec, overrides)
    if job_spec.working_dir is None:  # of which relative paths would be meant
        settings = [_absolute(word) for word in settings]
        settings += _named_in_a_file(settings)
    config = load(settings)
    root = Path(os.path.abspath(config.run.root))
    name = run_name(config.run.name, config.model_dump(), root)
    folder = root / name
    if _complete(folder, config):
        print(f"{folder} is complete: nothing to do")
        return 0
    jobs = connect(address)
    for job in jobs.of(folder):
        if not job.status.is_terminal():
            raise _running(folder, f"{job.status.lower()} as job {job.submission_id}")
    words = [word for word in settings if not word.startswith(("run.name=", "run.root="))]
    command = [job_spec.python or _python(jobs), "-m", "superalign.commands.main", "train", *words]
    submission = _submit(jobs, job_spec, [*command, f"run.name={name}", f"run.root={root}"], folder)
    print(f"run {name} in {folder} is job {submission} on {jobs._address}", flush=True)
    if not wait:
        print(f"look: superalign status {folder}; stop: superalign stop {folder}")
        return 0
    try:
        return _outcome(jobs.follow(submission, lambda line: print(line, flush=True)), folder)
    except KeyboardInterrupt:
        print(f"job {submission} goes on: superalign logs {folder} --follow, or stop it: superalign stop {folder}")
        return INTERRUPTED
    except UserError as gone:
        print(f"superalign: {gone}; submit the same again to resume from the last committed round", file=sys.stderr)
        return 1


def ordered(job_spec: JobSpec, overrides: Sequence[str]) -> list[str]:
    """All settings of a job: files of them come first, and what is given here wins over the job spec."""
    files, words = split(overrides)
    return [*files, *job_spec.overrides, *words]


def _complete(folder: Path, config: Config) -> bool:
    """Whether nothing is left to do, as far as this machine sees the run's folder.

    Raises:
        UserError: the run was begun with other settings, or is being written.
    """
    if not (folder / "format").is_file():
        return False
    run, settings = RunFolder(folder), config.model_dump(mode="json")
    run.check_format()
    if (last := run.last_round()) is not None:
        check_same_settings(run.config(), settings, folder, last)
    if (writer := writer_of(folder)) is not None:
        raise _running(folder, f"running as process {writer}")
    summary = run.summary()
    return summary is not None and summary["status"] == "complete" and not asks_for_more(run.config(), settings)


def _submit(jobs: Jobs, job_spec: JobSpec, command: Sequence[str], folder: Path) -> str:
    taken = {job.submission_id for job in jobs.list_jobs()}
    tries = itertools.chain([folder.name], (f"{folder.name}-{number}" for number in itertools.count(2)))
    driver = job_spec.driver
    try:
        return str(
            jobs.submit_job(
                entrypoint=shlex.join(command),
                submission_id=next(name for name in tries if name not in taken),
                runtime_env=job_spec.runtime_env(),
                metadata={RUN: folder.name, FOLDER: str(folder)},
                entrypoint_num_cpus=driver.cpus,
                entrypoint_num_gpus=driver.gpus,
                entrypoint_memory=int(driver.memory_gb * 2**30) if driver.memory_gb else None,
                entrypoint_resources=driver.resources,
            )
        )
    except ValueError as error:
        raise UserError(f"job spec: {' '.join(str(error).split())}") from None


def _outcome(job: JobDetails, folder: Path) -> int:
    print(f"job {job.submission_id} {job.status.lower()}", flush=True)
    if job.status == JobStatus.SUCCEEDED:
        return 0
    if job.driver_exit_code == 2:
        return 2
    if job.driver_exit_code is None:
        print(f"superalign: {' '.join((job.message or 'no reason is known').split())[:400]}", file=sys.stderr)
    print(f"submit {folder.name} again to resume from the last committed round", file=sys.stderr)
    return 1


def _running(folder: Path, how: str) -> UserError:
    return UserError(
        f"run {folder.name} is {how}: follow it with superalign logs {folder} --follow, "
        f"or stop it with superalign stop {folder}"
    )


def _absolute(word: str) -> str:
    """A setting that names a file here, as the cluster would find it on shared storage: its folder is another."""
    if "=" not in word:  # a file of settings
        return os.path.abspath(word) if Path(word).exists() else word
    key, _, value = word.partition("=")
    if key in PATH_SETTINGS and value and not value.startswith("testbed") and Path(value).exists():
        return f"{key}={os.path.abspath(value)}"
    return f"{key}={','.join(map(_absolute_plugin, value.split(',')))}"


def _absolute_plugin(name: str) -> str:
    """A plug-in in a file (`path/to/file.py:Name`) with its whole path."""
    file, colon, plugin = name.partition(":")
    return os.path.abspath(file) + colon + plugin if file.endswith(".py") and Path(file).exists() else name


def _named_in_a_file(settings: Sequence[str]) -> list[str]:
    """The recipe that a file of settings names by a path of this folder."""
    named = load(settings).recipe
    found = _absolute_plugin(named)
    return [] if found == named else [f"recipe={found}"]


def _python(jobs: Jobs) -> str:
    """This interpreter where the cluster's head runs on this machine, else the one on the cluster's path.

    The address does not tell: tunnels and the ports of containers end on this machine, too.
    """
    session = f"--session-name={jobs.session()}"
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        # A container's processes are seen from outside it, its files are not.
        if session in words and any(w.startswith("--log_dir=") and Path(w[10:]).is_dir() for w in words):
            return sys.executable
    return "python"
