"""What keeps the experts' page safe: signed cookies, CSRF tokens, rate limits, headers and bounded requests."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from superalign.errors import UserError

SESSION_S: Final = 12 * 3600
BODY_LIMIT: Final = 256 * 1024
KEY_BYTES: Final = 32
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_SIGNER: Final = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refused(Exception):
    """A request that is not allowed, with its status and one sentence for the reader."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Session:
    """What the session's cookie says; `name` is "" before the login.

    `mark` is that of the user's token, so that a new token ends older sessions. `lease` is the item on the page, shown
    first at `since`; `revealed` tells whether its harmful text was uncovered.
    """

    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    name: str = ""
    mark: str = ""
    lease: str = ""
    since: float = 0.0
    revealed: bool = False


@dataclass(frozen=True, slots=True)
class AnnotatorSettings:
    """An annotator's settings: the categories they do not want to see, and whether single keys answer."""

    declined: tuple[str, ...] = ()
    shortcuts: bool = True


class Signer:
    """Signs what leaves the server and must come back unchanged."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # Cookies are shared by all ports of a host: two runs served side by side need different names.
        self.prefix = f"superalign_{hashlib.sha256(key).hexdigest()[:8]}"
        self._sessions = URLSafeTimedSerializer(key, "session", signer_kwargs=_SIGNER)

    def session(self, session: Session) -> str:
        """The cookie of a session."""
        return str(self._sessions.dumps(asdict(session)))

    def session_of(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it is forged or older than `SESSION_S`."""
        try:
            return Session(**self._sessions.loads(cookie, max_age=SESSION_S))
        except (BadData, TypeError):
            return None

    def settings(self, name: str, settings: AnnotatorSettings) -> str:
        """The cookie of an annotator's settings."""
        return str(self._of(name, "settings").dumps(asdict(settings)))

    def settings_of(self, name: str, cookie: str) -> AnnotatorSettings:
        """The annotator's settings; the defaults if the cookie is forged or another annotator's."""
        try:
            found = self._of(name, "settings").loads(cookie)
            return AnnotatorSettings(tuple(found["declined"]), found["shortcuts"])
        except (BadData, KeyError, TypeError):
            return AnnotatorSettings()

    def lease(self, name: str, token: str) -> str:
        """A lease's token as it stands in the annotator's page; of no use to anybody else."""
        return str(self._of(name, "lease").dumps(token))

    def lease_of(self, name: str, sealed: str) -> str:
        """The token in a form that this annotator sent.

        Raises:
            Refused: it was not made for this annotator.
        """
        try:
            return str(self._of(name, "lease").loads(sealed))
        except BadData:
            raise Refused(403, "This item was not offered to you.") from None

    def csrf(self, session: Session) -> str:
        """The token that every form of this session carries."""
        return hmac.new(self._key, f"csrf {session.nonce} {session.name}".encode(), hashlib.sha256).hexdigest()

    def _of(self, name: str, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._key, f"{purpose} {name}", signer_kwargs=_SIGNER)


def secret_key(path: Path) -> bytes:
    """The key that signs the cookies of a run: made once, readable by its owner only.

    Raises:
        UserError: the file cannot be made or read, is damaged, or others may read it.
    """
    made = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        if not path.exists():
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):  # another server was first
                os.link(made, path)
            made.unlink()
        if path.stat().st_mode & 0o077:
            raise UserError(f"others may read {path}, the key of the cookies: chmod 600 it, or remove it for a new one")
        key = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot keep the key of the cookies: {error}") from None
    if len(key) != KEY_BYTES:
        raise UserError(f"{path} is damaged; remove it and everybody logs in anew")
    return key


class RateLimit:
    """A bucket per name, of `burst` tokens, that refills at `per_s`."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_s, self.burst, self.clock = per_s, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def spend(self, name: str, cost: int = 1) -> bool:
        """Take `cost` tokens (0 only looks); False if the bucket is empty."""
        now = self.clock()
        with self._lock:
            left, then = self._buckets.get(name, (float(self.burst), now))
            left = min(self.burst, left + (now - then) * self.per_s)
            if left < max(cost, 1):
                return False
            self._buckets[name] = left - cost, now
            if len(self._buckets) > 10_000:
                # A full bucket says no more than none.
                full = now - self.burst / self.per_s
                self._buckets = {key: kept for key, kept in self._buckets.items() if kept[1] > full}
            return True


class Guard:
    """The outermost layer: refuses oversize bodies and sets the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_LIMIT:
                raise HTTPException(413)
            return message

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Cache-Control"] = "no-cache" if scope["path"].startswith("/static/") else "no-store"
            await send(message)

        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > BODY_LIMIT:
            await PlainTextResponse("The request is too large.", 413)(scope, receive, dressed)
        else:
            await self.app(scope, bounded, dressed)
