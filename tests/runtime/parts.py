"""Small plain classes that the tests of the runtime put into actors."""

import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from superalign.errors import UserError


class Unpicklable(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, code: int, lock: Any) -> None:
        super().__init__(f"code {code}")
        self.lock = lock


class Counter:
    """A service with state, and with every way to go wrong."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def add(self, amount: int, *, times: int = 1) -> int:
        self.value += amount * times
        return self.value

    def doubled(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for tensor in tensors.values():
            tensor *= 2
        return tensors

    def apply(self, function: Any) -> Any:
        return function(self.value)

    def echo(self, value: Any) -> Any:
        return value

    def pid(self) -> int:
        return os.getpid()

    def threads(self) -> tuple[str | None, int]:
        import torch

        return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()

    def has_torch(self) -> bool:
        return "torch" in sys.modules

    def page_faults(self, megabytes: int, times: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(times):
            [np.ones(megabytes * 2**20, np.uint8) for _ in range(10)]
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def speak(self) -> None:
        print("printed words")
        logging.getLogger("part").info("logged words")

    def wait_for(self, fifo: Path) -> str:
        return fifo.read_text()

    def fail(self) -> None:
        raise ZeroDivisionError("the margin is zero")

    def fail_oddly(self) -> None:
        import threading

        raise Unpicklable(7, threading.Lock())

    def refuse(self) -> None:
        raise UserError("data.seeds: no such file")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Refusing:
    """Cannot be constructed."""

    def __init__(self) -> None:
        raise UserError("model: no such folder")

    def answer(self) -> int:
        return 42


class Dying:
    """Does not survive its construction."""

    def __init__(self) -> None:
        os._exit(1)


class Stuck:
    """Never finishes its construction."""

    def __init__(self) -> None:
        signal.pause()


class Role:
    """Holds a reference to a service, an object or a proxy."""

    def __init__(self, service: Counter) -> None:
        self.service = service

    def add(self, amount: int) -> int:
        return self.service.add(amount)

    def service_pid(self) -> int:
        return self.service.pid()

    def wait_for(self, fifo: Path) -> str:
        return self.service.wait_for(fifo)

    def break_service(self) -> None:
        self.service.die()

    def fail_in_service(self) -> None:
        self.service.fail()
