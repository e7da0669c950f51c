"""Which number format a processor computes well: measured by a small matrix product, not told by its name."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Final

from superalign.errors import UserError
from superalign.models.permissions import may_be_slow

SIDE: Final = 384  # of the matrices: a product takes milliseconds on a slow core
REPEATS: Final = 3  # the best counts: others may use the processor meanwhile
TOO_SLOW: Final = 4.0

log = logging.getLogger(__name__)


def device() -> str:
    """Where models are put: the first GPU that this process sees, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=1)
def bfloat16_slowness() -> float:
    """How many times longer than in float32 a matrix product takes in bfloat16 on this CPU."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        # Ones need no random numbers: no draw of the program may depend on this.
        factor = torch.ones(SIDE, SIDE, dtype=dtype)
        best = float("inf")
        for _ in range(1 + REPEATS):  # the first one loads code
            began = time.perf_counter()
            factor @ factor
            best = min(best, time.perf_counter() - began)
        return best

    return seconds(torch.bfloat16) / seconds(torch.float32)


def chosen_dtype(asked: str) -> str:
    """float32 or bfloat16: what was asked for, or with `auto` what is faster here.

    Raises:
        UserError: bfloat16 was asked for on a CPU that takes more than 4 times as long with it.
    """
    if asked == "float32":
        return asked
    if device() == "cuda":
        return "bfloat16"
    slowness = bfloat16_slowness()
    if asked == "auto":
        chosen = "bfloat16" if slowness < 1 else "float32"
        _say(f"dtype=auto: {chosen}, as bfloat16 takes {slowness:.2g} times as long as float32 on this CPU")
        return chosen
    if slowness > TOO_SLOW and not may_be_slow():
        raise UserError(
            f"dtype=bfloat16 takes {slowness:.0f} times as long as float32 on this CPU: set generator.dtype and "
            "trainer.dtype to float32 or auto, or models.slow_bfloat16=true to use it all the same"
        )
    if slowness > 1:
        _say(f"bfloat16 takes {slowness:.2g} times as long as float32 on this CPU; dtype=float32 is faster")
    return "bfloat16"


@lru_cache(maxsize=8)
def _say(line: str) -> None:
    log.warning("%s", line)
