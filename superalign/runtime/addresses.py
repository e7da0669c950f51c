"""Where the user's Ray cluster is, and what it is told of us. Looking for it imports nothing of Ray."""

from __future__ import annotations

import contextlib
import os
from collections.abc import MutableMapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from superalign.errors import UserError

VARIABLES: Final = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
ANSWER_LIMIT_S: Final = 5.0
HINT: Final = "give --address HOST:PORT or http://HOST:8265, set RAY_ADDRESS, or start a Ray with: ray start --head"


def find_address(given: str | None = None) -> str | None:
    """The address given, else the one in the environment, else the one that `ray start` announced on this machine."""
    address = next(filter(None, (given, *map(os.environ.get, VARIABLES))), "auto")
    if address != "auto":
        return address
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    try:
        return (Path(folder) / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def check_address(address: str) -> str:
    """The address as Ray's client takes it, which itself would ask a wrong one for 40 s and then show a traceback.

    Raises:
        UserError: it is no address, or nobody listens there.
    """
    if address.startswith(("http://", "https://")):
        return address
    host, _, port = address.rpartition(":")
    try:
        connection = HTTPConnection(host, int(port), timeout=ANSWER_LIMIT_S)
        connection.connect()
    except (OSError, ValueError, OverflowError, HTTPException) as error:
        raise UserError(f"no Ray answers at {address} ({error}): {HINT}") from None
    with contextlib.closing(connection):
        try:
            # The port of the dashboard speaks HTTP, that of the cluster does not.
            connection.request("GET", "/api/version")
            connection.getresponse()
        except (OSError, HTTPException):
            return address
    return f"http://{address}"


def pass_token(environment: MutableMapping[str, str]) -> None:
    """Have a token of the environment shown to the cluster, which Ray's clients do in this mode alone."""
    if environment.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        environment.setdefault("RAY_AUTH_MODE", "token")


def reread_environment() -> None:
    """Have Ray read the environment again, which it did when it was imported."""
    from ray._raylet import Config  # type: ignore[attr-defined]

    Config.initialize("")
