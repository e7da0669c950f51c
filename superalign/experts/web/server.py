"""Serving the experts' page of a run until somebody ends it."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys

import uvicorn

from superalign.errors import UserError
from superalign.experts.terminal import clean
from superalign.experts.web.app import create_app
from superalign.experts.web.security import Guard
from superalign.experts.web.site import Site, is_loopback

log = logging.getLogger("superalign.experts.web")
SHUTDOWN_S = 5


def serve(site: Site, host: str, port: int) -> None:
    """Serve until interrupted; prints the address first. Port 0 takes any that is free.

    Raises:
        UserError: the address cannot be had, or nobody could log in from elsewhere.
    """
    _log_plainly()
    alone = is_loopback(host)
    if not any(not user.disabled for user in site.users.all()):
        if not alone:
            raise UserError(
                f"nobody can log in from elsewhere: first superalign experts add-user {site.run} NAME --role admin"
            )
        name = _own_name()
        print(f"The token of {name} (admin), shown this once: {site.users.add(name, 'admin')}", flush=True)
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"Experts answer at http://{shown}:{listener.getsockname()[1]}/  (Ctrl-C ends)", flush=True)
    if not alone:
        log.warning("logins work over https only: put a proxy that speaks TLS before this address")
    server = uvicorn.Server(configured(create_app(site)))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn raises it once more when it has ended in good order
    finally:
        listener.close()
    print("Ended; every answer that was acknowledged is kept.", flush=True)


def configured(app: Guard) -> uvicorn.Config:
    """How the page is served, wherever it is."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for connections.

    Raises:
        UserError: the address cannot be had.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(f"cannot serve at {host} port {port}: {error.strerror or error}") from None
    # Inherited by every connection. Without it an answer's body waits 40 ms for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _log_plainly() -> None:
    """One line an event, on standard error; uvicorn's own only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for name, level in (("superalign.experts.web", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def _own_name() -> str:
    try:
        return clean(getpass.getuser()) or "expert"
    except (OSError, KeyError):
        return f"user{os.getuid()}"
