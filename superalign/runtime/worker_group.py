"""One object on several worker processes: made on each, called on all alike, answering as one.

The workers are those of Ray Train (`TorchTrainer`), which joins them to a torch.distributed group, NCCL on GPUs and
gloo on CPUs. One `fit` lasts as long as the object: it pulls calls from a buffer, so that models and connections stay
from call to call.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superalign.config.sections import ClusterConfig
from superalign.errors import ActorLost, UserError
from superalign.runtime.actors import WAIT_SLICE_S, Failure, Host, dump, load, reason, time_left
from superalign.runtime.placement import LEARNER_SHARE

# A worker that fails alone leaves the others in a collective, which ends soon where the connection is gone.
PATIENCE_S = 60.0
# Ray Train reserves at least something for each worker; the rest of the run reserves no CPU either.
TOKEN_CPU = 0.01

TRAIN_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    # Each worker sees its own GPU alone, as the first.
    "TRAIN_ENABLE_SHARE_CUDA_VISIBLE_DEVICES": "0",
}
# By these libraries find out that they are one of several processes, and would share out the work once more.
RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")

logger = logging.getLogger(__name__)


class Calls:
    """The buffer, an actor: the calls in their order, and what each worker made of the latest."""

    def __init__(self) -> None:
        self._number, self._call = 0, ("hello", b"", 0.0)
        self._answers: dict[int, bytes] = {}
        self._news = asyncio.Condition()

    async def put(self, method: str, payload: bytes, limit_s: float) -> None:
        """The next call, once all workers have answered the last."""
        async with self._news:
            self._number, self._call, self._answers = self._number + 1, (method, payload, limit_s), {}
            self._news.notify_all()

    async def take(self, number: int) -> tuple[str, bytes, float] | None:
        """A worker's next call; None if there is none for `WAIT_SLICE_S`."""
        there = await self._wait(lambda: self._number >= number)
        return self._call if there else None

    async def answer(self, number: int, rank: int, outcome: bytes) -> None:
        """A worker's pickled outcome of a call."""
        async with self._news:
            if number == self._number:
                self._answers[rank] = outcome
                self._news.notify_all()

    async def answers(self, more_than: int, wait_s: float) -> dict[int, bytes]:
        """By rank, as soon as there are more than so many, or after so many seconds."""
        await self._wait(lambda: len(self._answers) > more_than, wait_s)
        return self._answers

    async def _wait(self, condition: Callable[[], bool], wait_s: float = WAIT_SLICE_S) -> bool:
        async with self._news:
            try:
                return await asyncio.wait_for(self._news.wait_for(condition), wait_s)
            except TimeoutError:
                return False


def worker_loop(task: dict[str, Any]) -> None:
    """What every worker does over the whole run: host the object and answer the calls."""
    import ray
    from ray import train

    for variable in RANK_VARIABLES:
        os.environ.pop(variable, None)
    rank, calls, number = train.get_context().get_world_rank(), task["calls"], 0
    name = worker_name(task["name"], rank)
    host = Host(name, log_path(task["log_dir"], name), task["threads"], task["construction"])
    while True:
        call = ray.get(calls.take.remote(number))
        if call is None:
            continue
        answer = host.hello() if call[0] == "hello" else host.call(*call)
        if rank and not isinstance(load(answer), Failure):
            answer = dump(None)  # the first worker's result is everybody's
        ray.get(calls.answer.remote(number, rank, answer))
        number += 1


def worker_name(name: str, rank: int) -> str:
    """What a worker is called."""
    return f"{name}-{rank}"


def log_path(log_dir: Path, name: str) -> str:
    """Where it logs."""
    return str(log_dir / f"{name}.log")


class WorkerGroup:
    """Stands for the object in the actor that has its name; has the methods of the object.

    An exception that all workers raise is the caller's. Where only some do, or a worker dies or is silent, the group is
    lost: its workers' states may differ.

    Args:
        name: of the object; workers are called `name-0`, `name-1`, ..
        config: how long things may take, and where workers are placed.
        log_dir: the folder of the workers' logs.
        workers: how many.
        threads: CPU threads of each.
        construction: pickled class, arguments and keyword arguments.

    Raises:
        ActorLost, UserError, Exception: as a call, or there is no place for the workers.
    """

    def __init__(
        self, name: str, config: ClusterConfig, log_dir: Path, workers: int, threads: int, construction: bytes
    ) -> None:
        import ray

        os.environ.update(TRAIN_ENVIRONMENT, RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S=str(config.place_timeout_s))
        self._name, self._config, self._log_dir, self._workers = name, config, log_dir, workers
        own_cpus = config.placement == "split" and config.accelerator == "CPU"
        self._resources = {"CPU": float(threads) if own_cpus else TOKEN_CPU, **self._accelerators()}
        self._calls: Any = ray.remote(Calls).options(num_cpus=0).remote()
        self._end: BaseException | None = None
        task = {
            "name": name,
            "log_dir": log_dir,
            "threads": threads,
            "construction": construction,
            "calls": self._calls,
        }
        # Ray Train wants a folder for what a run keeps, which this one commits itself.
        with tempfile.TemporaryDirectory(prefix="train-", dir=log_dir) as scratch:
            self._fit = threading.Thread(target=self._run, args=(task, scratch), daemon=True)
            self._fit.start()
            self._outcome("start", config.start_timeout_s)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        def call(*args: Any, **kwargs: Any) -> Any:
            limit_s = time_left(self._config.call_timeout_s)
            self._ask(self._calls.put.remote(method, dump((args, kwargs)), limit_s))
            return self._outcome(method, limit_s)

        return call

    def _accelerators(self) -> dict[str, float]:
        """What each worker takes of a GPU, where the cluster has any."""
        import ray

        there = ray.cluster_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]
        share = LEARNER_SHARE if self._config.placement == "colocated" else 1.0
        if self._config.accelerator == "CPU":
            return {}
        if there and there < self._workers * share:
            raise UserError(
                f"cluster.learner_workers={self._workers} train on a GPU each, and the cluster has {there:g}: lower it"
            )
        return {"GPU": share} if there else {}

    def _run(self, task: dict[str, Any], scratch: str) -> None:
        """The one `fit`; ends only if something is wrong, which it leaves in `_end`."""
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        # A lost worker ends it: one started in its stead would know nothing of the phases before.
        once = FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0)  # type: ignore[call-arg]
        try:
            TorchTrainer(
                worker_loop,
                train_loop_config=task,
                torch_config=TorchConfig(timeout_s=int(self._config.call_timeout_s) + 1),
                scaling_config=ScalingConfig(
                    num_workers=self._workers,
                    use_gpu="GPU" in self._resources,
                    resources_per_worker=self._resources,
                    placement_strategy="PACK",
                ),
                run_config=RunConfig(name=self._name, storage_path=scratch, failure_config=once),
            ).fit()
        except Exception as error:
            logger.exception("the workers of %s have ended", self._name)
            self._end = error

    def _outcome(self, method: str, limit_s: float) -> Any:
        """What all workers make of the latest call, with a log line every `WAIT_SLICE_S` seconds."""
        what, began, failed_at = f"{self._name}.{method}", time.monotonic(), 0.0
        outcomes: dict[int, Any] = {}
        while len(outcomes) < self._workers:
            slice_s = max(0.0, min(WAIT_SLICE_S, began + limit_s - time.monotonic()))
            answers = self._ask(self._calls.answers.remote(len(outcomes), slice_s))
            outcomes |= {rank: load(answers[rank]) for rank in answers.keys() - outcomes.keys()}
            now = time.monotonic()
            failed = [rank for rank, value in outcomes.items() if isinstance(value, Failure)]
            failed_at = failed_at or (now if failed else 0.0)
            late = [worker_name(self._name, rank) for rank in range(self._workers) if rank not in outcomes]
            if late and not self._fit.is_alive():
                raise self._loss(what)
            if late and (now - began > limit_s or (failed and now - failed_at > PATIENCE_S)):
                why = (
                    f"after {worker_name(self._name, failed[0])} failed"
                    if failed
                    else f"within {round(limit_s, 1):g} s"
                )
                raise self._lost(late[0], f"{what}: {', '.join(late)} gave no answer {why}")
            if late and now - began > WAIT_SLICE_S:
                logger.info("waiting %.0f s for %s in %s", now - began, ", ".join(late), what)
        failures = {rank: value for rank, value in outcomes.items() if isinstance(value, Failure)}
        wrong = next((value.error for value in failures.values() if isinstance(value.error, UserError)), None)
        if wrong or len(failures) == self._workers:
            failure = failures[min(failures)]
            if not wrong and not isinstance(failure.error, ActorLost):
                failure.error.add_note(failure.note)
            raise wrong or failure.error
        if failures:
            rank, failure = next(iter(failures.items()))
            message = f"{what} failed on {worker_name(self._name, rank)} alone: {failure.error!r}"
            raise self._lost(worker_name(self._name, rank), message)
        return outcomes[0]

    def _ask(self, reference: Any) -> Any:
        import ray

        try:
            return ray.get(reference, timeout=PATIENCE_S)
        except ray.exceptions.RayError as error:
            raise self._lost(self._name, f"{self._name} has lost its buffer of calls: {error!r}") from None

    def _loss(self, what: str) -> Exception:
        """Why `fit` has ended."""
        failures = getattr(self._end, "worker_failures", {})
        if not failures:
            told = str(getattr(self._end, "controller_failure", self._end)).partition("\n")[0]
            return UserError(
                f"cluster.learner_workers={self._workers}: Ray Train could not start them ({told}); free resources "
                f"or lower cluster.learner_workers; log {log_path(self._log_dir, self._name)}"
            )
        rank = min(failures)
        cause = getattr(failures[rank], "health_check_failure", failures[rank])
        return self._lost(
            worker_name(self._name, rank), f"{worker_name(self._name, rank)} died during {what}: {reason(cause)}"
        )

    def _lost(self, name: str, message: str) -> ActorLost:
        return ActorLost(name, f"{message}; log {log_path(self._log_dir, name)}")
