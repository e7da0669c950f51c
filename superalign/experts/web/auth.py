"""Logging in with a token and logging out, and a health check."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, Response

from superalign.experts.terminal import clean
from superalign.experts.web.security import Refused, Session
from superalign.experts.web.site import LoginForm, PublicPage, Site, UserForm, log

router = APIRouter()


@router.get("/healthz")
def healthy(request: Request) -> Response:
    """For probes: 200 while the store answers, else 503."""
    site: Site = request.app.state.site
    site.users.all()
    return PlainTextResponse("ok\n")


@router.get("/login")
def login_page(context: PublicPage) -> Response:
    """Ask for the token."""
    return context.page("login.html.j2", wrong=False) if context.known is None else context.go("/")


@router.post("/login")
def log_in(context: LoginForm, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Begin a session, with a nonce that nobody could have prepared."""
    failures = context.site.failures
    if not failures.spend(context.address, 0):
        raise Refused(429, "Too many wrong tokens came from your address. Wait a minute.")
    user = context.site.users.by_token(token.strip())
    if user is None:
        failures.spend(context.address)
        log.warning("a wrong token from %s", clean(context.address))
        return context.page("login.html.j2", status=403, wrong=True)
    log.info("%s (%s) logged in", clean(user.name), user.role)
    return context.go("/", Session(name=user.name, mark=user.mark))


@router.post("/logout")
def log_out(context: UserForm) -> Response:
    """End the session; the item that the user holds goes back."""
    context.site.queue.release_all(context.user.name)
    context.site.ended.add(context.session.nonce)
    log.info("%s logged out", clean(context.user.name))
    return context.go("/login", Session())
