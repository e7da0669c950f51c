"""One actor: the process that hosts an object, and the proxy that stands for it everywhere else."""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign.errors import ActorLost, UserError
from superalign.runtime.memory import keep_freed_memory, without_collection
from superalign.store import progress

WAIT_SLICE_S = 10.0
NESTED_SHARE = 0.9  # of the time of a call; in the rest the news of a nested failure reaches its caller
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

logger = logging.getLogger(__name__)


class _CurrentCall(threading.local):
    """The call that this thread of an actor answers: its own calls must end before `deadline` (monotonic seconds)."""

    deadline = math.inf


current_call = _CurrentCall()


def time_left(limit_s: float) -> float:
    """How long a call may last that is limited so: not beyond the call that this thread answers."""
    return min(limit_s, max(0.0, current_call.deadline - time.monotonic()))


@dataclass(frozen=True)
class Failure:
    """An exception on its way to the caller, with what is known only where it happened."""

    error: Exception
    note: str


def dump(value: object) -> bytes:
    """Pickle a value, lambdas and recipe-local classes included.

    Arguments and results travel as bytes and not as Ray objects: what arrives is writable and owned by the receiver,
    as it is inline, where arrays out of Ray's object store would be read-only and pin the store.
    """
    from ray import cloudpickle

    data: bytes = cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
    return data


def load(data: bytes) -> Any:
    """The value of `dump`."""
    from ray import cloudpickle

    return cloudpickle.loads(data)


class Host:
    """Runs in the actor process: builds the object and answers calls on it with pickled outcomes."""

    def __init__(self, name: str, log_file: str, threads: int, construction: bytes) -> None:
        # Before the first unpickling, because that is what imports torch, which reads these once.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        keep_freed_memory()
        self.name = name
        self.log_file = log_file
        _write_everything_to(Path(log_file))
        progress.tell_to(progress.to_file(Path(log_file)))
        logging.info("%s starts: pid %d, %d thread(s)", name, os.getpid(), threads)
        self.target: Any = None
        self.busy_s = 0.0
        self.failure: Failure | None = None
        try:
            with without_collection():
                cls, args, kwargs = load(construction)
                self.target = cls(*args, **kwargs)
        except Exception as error:
            # Kept and not raised: Ray would report a failed constructor as a dead actor and hide the cause.
            self.failure = self._failure(error, "construction")

    def hello(self) -> bytes:
        """The process id once the object stands, or why it does not."""
        return dump(self.failure or os.getpid())

    def call(self, method: str, payload: bytes, limit_s: float) -> bytes:
        """Call a method of the object; the outcome is its result or a `Failure`.

        Calls that it makes in turn give up before the `limit_s` seconds of this one are over: whoever waits for this
        one is then told which actor is silent, and does not take it for this one.
        """
        if self.failure is not None:
            return dump(self.failure)
        began = time.perf_counter()
        current_call.deadline = time.monotonic() + NESTED_SHARE * limit_s
        try:
            args, kwargs = load(payload)
            return dump(getattr(self.target, method)(*args, **kwargs))
        except Exception as error:
            return dump(self._failure(error, method))
        finally:
            self.busy_s += time.perf_counter() - began

    def busy_seconds(self) -> bytes:
        """Seconds spent in calls since the process began; meant for hosts that answer one call at a time."""
        return dump(self.busy_s)

    def _failure(self, error: Exception, method: str) -> Failure:
        logging.exception("%s.%s failed", self.name, method)
        trace = "".join(traceback.format_exception(error)).rstrip()
        note = f"in actor {self.name} (pid {os.getpid()}), method {method}, log {self.log_file}\nremote {trace}"
        try:
            load(dump(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return Failure(error, note)


def _write_everything_to(log_file: Path) -> None:
    """Log records, prints, library warnings and the stack of a crash all go to the actor's own log."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    stream = log_file.open("a", buffering=1, encoding="utf-8")
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    faulthandler.enable(stream)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=stream, force=True
    )


class Proxy:
    """Stands for an object in another process: the same methods, called and waited for.

    Picklable, so that one actor can call another. Arguments and results are copied. Exceptions arrive as their own
    type with a note (PEP 678) that names the actor, its log and the remote traceback (a `UserError` stays one plain
    line); a dead or silent process arrives as `ActorLost` naming the process that died, however deep in nested calls.
    """

    def __init__(self, name: str, methods: frozenset[str], log_file: str, limit_s: float, handle: Any) -> None:
        self._name = name
        self._methods = methods
        self._log_file = log_file
        self._limit_s = limit_s
        self._handle = handle

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_") or method not in self._methods:
            raise AttributeError(f"{self.__class__.__name__} has no method {method!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            what = f"{self._name}.{method}"
            limit_s = time_left(self._limit_s)
            reference = self._handle.call.remote(method, dump((args, kwargs)), limit_s)
            return outcome(self._name, what, reference, self._log_file, limit_s)

        return call

    def __repr__(self) -> str:
        return f"<proxy of {self._name}>"


def outcome(name: str, what: str, reference: Any, log_file: str, limit_s: float) -> Any:
    """Wait for an outcome of `Host`, with a log line every `WAIT_SLICE_S` seconds.

    Raises:
        ActorLost: the process died, or gave no answer within `limit_s` seconds.
        Exception: whatever the object raised, with a note on where.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError

    start = time.monotonic()
    while True:
        left = start + limit_s - time.monotonic()
        try:
            value = load(ray.get(reference, timeout=max(0.0, min(WAIT_SLICE_S, left))))
            break
        except GetTimeoutError:
            waited = time.monotonic() - start
            if waited >= limit_s:
                limit = f"{round(limit_s, 1):g} s (cluster.call_timeout_s)"
                raise ActorLost(name, f"{what} gave no answer within {limit}; log {log_file}") from None
            logger.info("waiting %.0f s for %s (limit %g s); log %s", waited, what, round(limit_s, 1), log_file)
        except RayTaskError as error:
            raise RuntimeError(f"{what} failed outside the object's own code: {error}; log {log_file}") from error
        except RayError as error:
            message = f"{name} died during {what}: {reason(error)}; log {log_file}"
            raise ActorLost(name, message) from None
    if isinstance(value, Failure):
        if not isinstance(value.error, UserError | ActorLost):
            value.error.add_note(value.note)
        raise value.error
    return value


def reason(error: Exception) -> str:
    """The one telling line of Ray's paragraph about a death."""
    text = " ".join(str(error).split())
    detail = text.partition("Worker exit detail: ")[2] or text
    return f"{type(error).__name__}: {detail.partition(' Some common causes')[0]}"[:400]
