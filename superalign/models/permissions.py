"""What users allow models to do: run code of their own, compute in a number format that is slow here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

CODE: Final = "SUPERALIGN_TRUST_REMOTE_CODE"
SLOW: Final = "SUPERALIGN_SLOW_BFLOAT16"


@dataclass
class _Permissions:
    """By the settings that this process read; actors are told by environment variables, which users can set, too."""

    trust_remote_code: bool = False
    slow_bfloat16: bool = False


_given = _Permissions()


def allow(trust_remote_code: bool, slow_bfloat16: bool) -> None:
    """Take over what the settings say (`models.trust_remote_code`, `models.slow_bfloat16`)."""
    _given.trust_remote_code, _given.slow_bfloat16 = trust_remote_code, slow_bfloat16


def may_run_code() -> bool:
    """Whether code that comes with a model may be run."""
    return _given.trust_remote_code or os.environ.get(CODE) == "1"


def may_be_slow() -> bool:
    """Whether bfloat16 may be used on a CPU that is much slower with it."""
    return _given.slow_bfloat16 or os.environ.get(SLOW) == "1"


def environment() -> dict[str, str]:
    """Variables by which another process learns what settings allow here."""
    allowed = {CODE: _given.trust_remote_code, SLOW: _given.slow_bfloat16}
    return {name: "1" for name, given in allowed.items() if given}
