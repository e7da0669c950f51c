"""What every page is made with: the queue, its users, and the context of a request."""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import jinja2
from fastapi import Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from superalign.experts.queue import ExpertQueue
from superalign.experts.terminal import clean
from superalign.experts.users import User, Users
from superalign.experts.web.security import LOOPBACK, SESSION_S, AnnotatorSettings, RateLimit, Refused, Session, Signer
from superalign.stats.estimate import Estimate
from superalign.stats.format import interval, number

log = logging.getLogger(__name__)
YEAR_S = 365 * 24 * 3600
STALE = "This form is too old, or it was not made for you. Go back, load the page again and repeat what you did."


@dataclass
class Site:
    """One run's queue, served. `guideline` is plain text; None shows the one that comes with superalign."""

    queue: ExpertQueue
    key: bytes
    run: str
    guideline: str | None = None
    lease_s: float = 600.0
    hourly_rate: float = 0.0
    requests: RateLimit = field(default_factory=lambda: RateLimit(per_s=8.0, burst=60))
    failures: RateLimit = field(default_factory=lambda: RateLimit(per_s=0.1, burst=10))

    def __post_init__(self) -> None:
        self.users, self.signer = Users(self.queue), Signer(self.key)
        # The sessions that were logged out, which a copied cookie must not bring back.
        self.ended = set[str]()
        self.environment = jinja2.Environment(
            loader=jinja2.PackageLoader("superalign.experts.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.filters |= {"shown": clean, "figure": figure}

    def user(self, session: Session) -> User | None:
        """Who this session belongs to, as long as the token it began with is good."""
        if not session.name or session.nonce in self.ended:
            return None
        user = self.users.by_name(session.name)
        return user if user and user.mark == session.mark and not user.disabled else None


class RequestContext:
    """One request: who asks, and how to answer them."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.site: Site = request.app.state.site
        signer, cookies = self.site.signer, request.cookies
        self.session = signer.session_of(cookies.get(f"{signer.prefix}_session", "")) or Session()
        self.known = self.site.user(self.session)
        if self.session.name and self.known is None:
            self.session = Session()
        self.settings = signer.settings_of(self.session.name, cookies.get(f"{signer.prefix}_settings", ""))

    @property
    def user(self) -> User:
        """Who is logged in."""
        user: User | None = self.known
        assert user is not None
        return user

    @property
    def address(self) -> str:
        """Where the request came from."""
        return self.request.client.host if self.request.client else ""

    def page(self, template: str, session: Session | None = None, status: int = 200, **values: Any) -> Response:
        """A page; `session` replaces that of the request."""
        session = session or self.session
        shared = {
            "run": self.site.run,
            "user": self.known,
            "csrf": self.site.signer.csrf(session),
            "shortcuts": self.settings.shortcuts,
            "path": self.request.url.path,
            "several": self.site.queue.questions is not None,
        }
        body = self.site.environment.get_template(template).render(shared | values)
        return self._with_cookies(HTMLResponse(body, status), session)

    def go(self, where: str, session: Session | None = None, settings: AnnotatorSettings | None = None) -> Response:
        """Redirect, so that a reload repeats no POST."""
        return self._with_cookies(RedirectResponse(where, 303), session or self.session, settings)

    def _with_cookies(
        self, response: Response, session: Session, settings: AnnotatorSettings | None = None
    ) -> Response:
        signer, url = self.site.signer, self.request.url
        shared: dict[str, Any] = {
            "httponly": True,
            "samesite": "strict",
            "secure": url.scheme == "https" or not is_loopback(url.hostname or ""),
        }
        response.set_cookie(f"{signer.prefix}_session", signer.session(session), max_age=SESSION_S, **shared)
        if settings is not None:
            cookie = signer.settings(session.name, settings)
            response.set_cookie(f"{signer.prefix}_settings", cookie, max_age=YEAR_S, **shared)
        return response


class LoggedOut(Exception):
    """The page is for those who are logged in."""


def public_page(request: Request) -> RequestContext:
    """A page that needs no login."""
    return RequestContext(request)


def user_page(request: Request) -> RequestContext:
    """A page for whoever is logged in, at a limited rate."""
    context = RequestContext(request)
    if context.known is None:
        raise LoggedOut
    if not context.site.requests.spend(context.known.name):
        raise Refused(429, "That was too fast. Wait a few seconds and go on.")
    return context


def _checked(context: RequestContext, csrf: str) -> RequestContext:
    """Let a POST through only if it comes from a form of this very session.

    Browsers tell where a request comes from (Sec-Fetch-Site, Origin); the token in the form holds for the others, too.
    Referrer-Policy: no-referrer makes the Origin of our own forms "null".
    """
    headers = context.request.headers
    origin = headers.get("origin", "null")
    foreign = origin != "null" and urlsplit(origin).netloc != headers.get("host")
    if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, STALE)
    if not hmac.compare_digest(csrf.encode(errors="replace"), context.site.signer.csrf(context.session).encode()):
        raise Refused(403, STALE)
    return context


def login_form(request: Request, csrf: Annotated[str, Form()] = "") -> RequestContext:
    """The form of the login, sent by somebody who is not logged in yet."""
    return _checked(RequestContext(request), csrf)


def user_form(request: Request, csrf: Annotated[str, Form()] = "") -> RequestContext:
    """A form sent by whoever is logged in."""
    return _checked(user_page(request), csrf)


def _only(context: RequestContext, *roles: str) -> RequestContext:
    if context.user.role not in roles:
        raise Refused(403, f"This page is for the role {roles[-1]}; yours is {context.user.role}.")
    return context


PublicPage = Annotated[RequestContext, Depends(public_page)]
LoginForm = Annotated[RequestContext, Depends(login_form)]
UserPage = Annotated[RequestContext, Depends(user_page)]
UserForm = Annotated[RequestContext, Depends(user_form)]


def adjudicator_page(context: UserPage) -> RequestContext:
    """A page for adjudicators and admins."""
    return _only(context, "admin", "adjudicator")


def adjudicator_form(context: UserForm) -> RequestContext:
    """A form sent by an adjudicator or admin."""
    return _only(context, "admin", "adjudicator")


def admin_page(context: UserPage) -> RequestContext:
    """A page for admins."""
    return _only(context, "admin")


def admin_form(context: UserForm) -> RequestContext:
    """A form sent by an admin."""
    return _only(context, "admin")


AdjudicatorPage = Annotated[RequestContext, Depends(adjudicator_page)]
AdjudicatorForm = Annotated[RequestContext, Depends(adjudicator_form)]
AdminPage = Annotated[RequestContext, Depends(admin_page)]
AdminForm = Annotated[RequestContext, Depends(admin_form)]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def figure(estimate: Mapping[str, Any] | None, unit: str = "%") -> str:
    """A figure of `statistics.summary` in words: value, interval, and the number it rests on."""
    if estimate is None:
        return "no data yet"
    found = Estimate(**estimate)
    return f"{number(found.value, unit)} ({interval(found, unit)}, n = {found.n})"
