"""Coming in with a token, and leaving; and whether anybody could."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, Response

from superalign.experts.terminal import clean
from superalign.experts.web.security import Refused, Session
from superalign.experts.web.site import Acting, Anybody, Knocking, Site, log

router = APIRouter()


@router.get("/healthz")
def healthy(request: Request) -> Response:
    """For probes: 200 while the store answers, else 503."""
    site: Site = request.app.state.site
    site.users.all()
    return PlainTextResponse("ok\n")


@router.get("/login")
def login(visit: Anybody) -> Response:
    """Ask for the token."""
    return visit.page("login.html.j2", wrong=False) if visit.known is None else visit.go("/")


@router.post("/login")
def enter(visit: Knocking, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Begin a session, under a name that nobody could have prepared."""
    failures = visit.site.failures
    if not failures.spend(visit.address, 0):
        raise Refused(429, "Too many wrong tokens came from your address. Wait a minute.")
    user = visit.site.users.by_token(token.strip())
    if user is None:
        failures.spend(visit.address)
        log.warning("a wrong token from %s", clean(visit.address))
        return visit.page("login.html.j2", status=403, wrong=True)
    log.info("%s (%s) came in", clean(user.name), user.role)
    return visit.go("/", Session(name=user.name, mark=user.mark))


@router.post("/logout")
def leave(visit: Acting) -> Response:
    """End the session; the item at hand goes back."""
    visit.site.queue.release_all(visit.user.name)
    visit.site.ended.add(visit.session.nonce)
    log.info("%s left", clean(visit.user.name))
    return visit.go("/login", Session())
