"""Several engines behind one queue: whoever is free takes the next piece of work."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from superalign.errors import ActorLost, InsufficientResources
from superalign.generation.base import Generation, GenerationRequest, Tensors, request_numbers
from superalign.runtime.actors import current_call
from superalign.store.progress import advance

if TYPE_CHECKING:
    from superalign.runtime.cluster import Cluster
    from superalign.runtime.lazy_class import LazyClass

Out = TypeVar("Out")
PIECES = 8  # for each engine and call: the fewer there are, the longer the last one is waited for

logger = logging.getLogger(__name__)


class GeneratorPool:
    """A `Generator` of several engines, each a `Generator` of its own that serves all roles.

    The work of a call is cut into pieces of like length, longest first, and every engine takes the next piece when it
    has done its last: a slow piece keeps nobody else waiting. Where it is cut depends on the work and on `most` alone,
    so results depend neither on who did what nor on how many engines there are.

    An engine that is lost is started again, gets the current adapters and does its piece once more. Where that fails
    the others go on, as long as there are `least`.

    Args:
        cluster: where engines are started, and nothing else.
        engine, arguments, threads: the class of an engine, what it is constructed with, its CPU threads.
        least, most: how few and how many engines there may be.
    """

    def __init__(
        self,
        cluster: Cluster,
        engine: type[Any] | LazyClass[Any],
        arguments: Sequence[Any],
        threads: int,
        least: int,
        most: int,
    ) -> None:
        """No engine yet: `resize` starts them."""
        self._cluster, self._engine, self._arguments, self._threads = cluster, engine, tuple(arguments), threads
        self._least, self._most = least, most
        self._engines: dict[int, Any] = {}
        self._served: dict[str, tuple[Tensors, int]] = {}
        self._ending = threading.Lock()

    def resize(self, places: Mapping[int, Any]) -> int:
        """Have an engine at each of these places and no other; those that come get the current adapters.

        Returns:
            How many there are.

        Raises:
            ActorLost, InsufficientResources: fewer than `least` came to stand.
        """
        self._cluster.reset_restarts()
        for number in self._engines.keys() - places.keys():
            self._end(number)
        fresh = {number: place for number, place in places.items() if number not in self._engines}
        for number, place in fresh.items():
            self._engines[number] = self._cluster.spawn(
                _name(number), self._engine, *self._arguments, threads=self._threads, place=place
            )
        loss: ActorLost | InsufficientResources | None = None
        for number in fresh:
            try:
                self._cluster.ready(_name(number))
                self._load_current(number)
            except (ActorLost, InsufficientResources) as lost:
                logger.warning("engine %d did not come to stand: %s", number, lost)
                self._end(number)
                loss = lost
        if fresh:
            logger.info("%d of %d engines stand", len(self._engines), self._most)
        if loss and len(self._engines) < self._least:
            raise loss
        return len(self._engines)

    def generate(self, requests: Sequence[GenerationRequest], seed: int) -> list[Generation]:
        """Complete the requests; see `Generator.generate`."""
        asked = [replace(r, number=number) for r, number in zip(requests, request_numbers(requests), strict=True)]
        return self._distribute(
            "requests",
            [(r.role, len(r.prompt_ids) + r.max_new_tokens) for r in asked],
            lambda engine, piece: engine.generate([asked[i] for i in piece], seed),
        )

    def choice_logits(self, role: str, prompts: Sequence[tuple[int, ...]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probability of each choice as the next token of each prompt; see `Generator.choice_logits`."""
        return self._distribute(
            "verdicts",
            [(role, len(prompt)) for prompt in prompts],
            lambda engine, piece: engine.choice_logits(role, [prompts[i] for i in piece], choices),
        )

    def sequence_logprobs(
        self, role: str | None, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """Log-probability of every token of each completion; see `Generator.sequence_logprobs`."""
        return self._distribute(
            "answers",
            [(role or "", len(p) + len(c)) for p, c in zip(prompts, completions, strict=True)],
            lambda engine, piece: engine.sequence_logprobs(
                role, [prompts[i] for i in piece], [completions[i] for i in piece]
            ),
        )

    def hidden_states(
        self,
        model: str,
        prompts: Sequence[tuple[int, ...]],
        completions: Sequence[tuple[int, ...]],
        layers: Sequence[int],
        role: str | None = None,
    ) -> NDArray[np.float32]:
        """Hidden states of each text; see `Generator.hidden_states`."""
        if not prompts:
            nothing: NDArray[np.float32] = self._any_engine().hidden_states(model, prompts, completions, layers, role)
            return nothing
        found: list[NDArray[np.float32]] = self._distribute(
            "texts",
            [(model, len(p) + len(c)) for p, c in zip(prompts, completions, strict=True)],
            lambda engine, piece: list(
                engine.hidden_states(model, [prompts[i] for i in piece], [completions[i] for i in piece], layers, role)
            ),
        )
        return np.stack(found)

    def load_adapter(self, role: str, tensors: Tensors, version: int) -> int:
        """Serve the role with this adapter from now on; the version, once every engine has acknowledged it.

        Raises:
            RuntimeError: an engine serves another version.
        """
        for number, served in self._on_every_engine(lambda engine: engine.load_adapter(role, tensors, version)).items():
            if served != version:
                raise RuntimeError(f"{role}: engine {number} serves version {served}, not {version}")
        self._served[role] = tensors, version
        return version

    def versions(self) -> dict[str, int]:
        """The version served for each role."""
        served: dict[str, int] = self._any_engine().versions()
        return served

    def sleep(self) -> None:
        """All engines leave the accelerator's memory until something is asked again (`generator.sleep`)."""
        self._on_every_engine(lambda engine: engine.sleep())

    def _any_engine(self) -> Any:
        return next(iter(self._engines.values()))

    def _distribute(self, what: str, sizes: Sequence[tuple[str, int]], do: Callable[..., list[Out]]) -> list[Out]:
        """Results of `do(engine, piece)` for all indices of `sizes` (role, length), in their order; `what` they are."""
        order = sorted(range(len(sizes)), key=lambda i: (sizes[i], i), reverse=True)
        step = -(-len(order) // (PIECES * self._most)) or 1
        queue = deque(order[start : start + step] for start in range(0, len(order), step))
        results: dict[int, Out] = {}

        def serve(number: int) -> None:
            while True:
                try:
                    piece = queue.popleft()
                except IndexError:
                    return
                try:
                    done = self._retry(number, partial(do, piece=piece))
                except ActorLost as loss:
                    self._drop_engine(number, loss)
                    return queue.append(piece)
                except Exception:
                    queue.clear()
                    raise
                results.update(zip(piece, done, strict=True))
                advance(what, len(results), len(sizes))

        while queue:  # again where the last one at work was lost
            self._in_parallel(serve)
        return [results[i] for i in range(len(sizes))]

    def _on_every_engine(self, do: Callable[[Any], Out]) -> dict[int, Out]:
        """The result of every engine that stands; one that is lost meanwhile does it once it stands again."""
        results: dict[int, Out] = {}

        def serve(number: int) -> None:
            try:
                results[number] = self._retry(number, do)
            except ActorLost as loss:
                self._drop_engine(number, loss)

        self._in_parallel(serve)
        return results

    def _in_parallel(self, serve: Callable[[int], None]) -> None:
        # Engines are waited for no longer than whoever waits for us will.
        deadline = current_call, "deadline", current_call.deadline
        with ThreadPoolExecutor(len(self._engines), "engine", setattr, deadline) as threads:
            for done in [threads.submit(serve, number) for number in list(self._engines)]:
                done.result()

    def _retry(self, number: int, do: Callable[[Any], Out]) -> Out:
        """Have an engine do something, once more each time it was lost and stands again.

        Raises:
            ActorLost: it does not.
        """
        while True:
            try:
                return do(self._engines[number])
            except ActorLost as loss:
                logger.warning("engine %d is lost: %s", number, loss)
                if _out_of_time():
                    raise
                self._cluster.replace(_name(number), loss)
                self._load_current(number)

    def _load_current(self, number: int) -> None:
        """Push what is served now to an engine that has just come to stand."""
        for role, (tensors, version) in self._served.items():
            self._engines[number].load_adapter(role, tensors, version)

    def _drop_engine(self, number: int, loss: ActorLost) -> None:
        """Go on without an engine that does not come back, unless too few, or no time, is left."""
        with self._ending:
            if len(self._engines) <= self._least or _out_of_time():
                raise loss
            logger.warning("going on with %d engines: %s", len(self._engines) - 1, loss)
            self._end(number)

    def _end(self, number: int) -> None:
        del self._engines[number]
        self._cluster.end(_name(number))


def _out_of_time() -> bool:
    """Whether whoever waits for us must be told now: another engine would have no time left either."""
    return time.monotonic() >= current_call.deadline


def _name(number: int) -> str:
    return f"generator-{number}"
