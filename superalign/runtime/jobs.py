"""The Ray jobs of runs: finding the cluster, finding a run's jobs on it, following and stopping one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import requests
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobDetails as JobDetails
from ray.job_submission import JobStatus, JobSubmissionClient

from superalign.errors import UserError
from superalign.runtime.addresses import HINT, VARIABLES, check_address, find_address, pass_token, reread_environment

RUN, FOLDER = "superalign_run", "superalign_folder"  # in a job's metadata
ANSWER_LIMIT_S: Final = 30.0
GONE_AFTER_S: Final = 10.0
STOP_LIMIT_S: Final = 60.0
SLICE_S: Final = 10.0
POLL_S: Final = 1.0
BYTES_PER_S: Final = 1e6  # each look at a job's log carries all of it: long logs are looked at less often

Say = Callable[[str], object]


class Jobs(JobSubmissionClient):
    """The jobs of one cluster. A cluster that does not answer in time, or not to us, is one clear line.

    Raises:
        UserError: in every method.
    """

    def __init__(self, address: str) -> None:
        # Ray's own client obeys its environment before its argument.
        os.environ[VARIABLES[0]] = address
        try:
            super().__init__()
        except AuthenticationError:
            raise UserError(_refused(address)) from None
        except (RayError, RuntimeError, ValueError, KeyError, requests.RequestException) as error:
            raise UserError(f"no Ray jobs answer at {address} ({type(error).__name__}): {HINT}") from None

    def _do_request(self, method: str, endpoint: str, **more: Any) -> requests.Response:
        try:
            return super()._do_request(method, endpoint, timeout=ANSWER_LIMIT_S, **more)
        except AuthenticationError:
            raise UserError(_refused(self._address)) from None
        except requests.RequestException as error:
            raise UserError(f"no Ray jobs answer at {self._address} ({type(error).__name__}): {HINT}") from None

    def _raise_error(self, r: requests.Response) -> NoReturn:
        # The last line is the error's own, those before it a traceback of Ray's.
        raise UserError(f"Ray at {self._address} answers {r.status_code}: {r.text.strip().splitlines()[-1]}")

    def of(self, run: str | Path) -> list[JobDetails]:
        """The jobs that a run has had, oldest first; the run is named, or its folder given.

        Raises:
            UserError: jobs in several folders have that name.
        """
        ours = [job for job in self.list_jobs() if job.submission_id and folder_of(job)]
        places = {os.path.abspath(run), os.path.abspath(Path("runs", run))}
        named = [job for job in ours if os.path.basename(folder_of(job)) == str(run)]
        found = [job for job in ours if folder_of(job) in places] or named
        if len(folders := {folder_of(job) for job in found}) > 1:
            raise UserError(f"several runs are named {run}: give the folder of one ({', '.join(sorted(folders))})")
        return sorted(found, key=lambda job: job.start_time or 0)

    def session(self) -> str:
        """The name of this start of the cluster, unlike that of any other."""
        return str(self._do_request("GET", "/api/version").json().get("session_name"))

    def log(self, job: JobDetails) -> str:
        """What the job has written so far; empty where its node has not started it yet, or is gone."""
        try:
            return self.get_job_logs(str(job.submission_id))
        except UserError:
            return ""

    def follow(self, submission: str, say: Say) -> JobDetails:
        """Hand over the job's log by whole lines until it ends; a cluster that is away for a moment is asked again.

        Raises:
            UserError: the cluster is gone.
        """
        shown, heard, told = 0, time.monotonic(), time.monotonic()
        while True:
            try:
                job = self.get_job_info(submission)
                text, heard = self.log(job), time.monotonic()
            except UserError:
                if time.monotonic() - heard > GONE_AFTER_S:
                    raise UserError(f"Ray at {self._address} is gone, and job {submission} with it") from None
                time.sleep(POLL_S)
                continue
            ended = job.status.is_terminal()
            whole = len(text) if ended else text.rfind("\n") + 1
            for line in text[shown:whole].splitlines():
                say(line)
            shown = max(shown, whole)
            if ended:
                return job
            if job.status == JobStatus.PENDING and time.monotonic() - told > SLICE_S:
                say(f"job {submission} waits: {job.message}")
                told = time.monotonic()
            time.sleep(POLL_S + len(text) / BYTES_PER_S)

    def stop(self, job: JobDetails, say: Say) -> JobDetails:
        """Have the job stopped and wait until it is; one that has not started yet will be as soon as it starts.

        Raises:
            UserError: it goes on after `STOP_LIMIT_S` seconds.
        """
        submission, began, told = str(job.submission_id), time.monotonic(), time.monotonic()
        self.stop_job(submission)
        while not (job := self.get_job_info(submission)).status.is_terminal():
            waited = time.monotonic() - began
            if job.status == JobStatus.PENDING and waited > SLICE_S:
                break
            if waited > STOP_LIMIT_S:
                raise UserError(f"job {submission} still runs after {waited:.0f} s: look at {self._address}")
            if time.monotonic() - told > SLICE_S:
                say(f"waiting {waited:.0f} s for job {submission} to stop")
                told = time.monotonic()
            time.sleep(POLL_S / 4)
        return job


def _refused(address: str) -> str:
    return f"Ray at {address} asks for a token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file with it"


def folder_of(job: JobDetails) -> str:
    """The folder of the run that the job was submitted for; empty for other jobs."""
    return (job.metadata or {}).get(FOLDER, "")


def connect(given: str | None = None) -> Jobs:
    """The cluster at the given address, else the one that is known here.

    Raises:
        UserError: there is none, or it does not answer.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)  # what else matters is raised
    pass_token(os.environ)
    reread_environment()
    if (address := find_address(given)) is None:
        raise UserError(f"no Ray cluster is known here: {HINT}")
    return Jobs(check_address(address))


def find_job(run: str | Path, address: str | None = None) -> tuple[Jobs, JobDetails] | None:
    """The newest job of a run and the cluster that has it; None where no cluster answers, or has none.

    Raises:
        UserError: an address was given, and nobody answers there.
    """
    try:
        jobs = connect(address)
        known = jobs.of(run)
    except UserError:
        if address:
            raise
        return None
    return (jobs, known[-1]) if known else None
