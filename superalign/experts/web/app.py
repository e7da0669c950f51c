"""The experts' page as an ASGI application."""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from superalign.errors import UserError
from superalign.experts.web import admin, annotate, auth, settings
from superalign.experts.web.security import Guard, Refused
from superalign.experts.web.site import LoggedOut, Site, log

WORDS = {
    404: "There is no such page.",
    405: "This cannot be done here.",
    413: "The request is too large.",
}


def create_app(site: Site) -> Guard:
    """The application that serves one run's queue."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = site
    for part in (auth, annotate, settings, admin):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=str(resources.files("superalign.experts.web") / "static")))
    app.add_exception_handler(LoggedOut, _to_login)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(UserError, _unavailable)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _failed)
    return Guard(app)


def _to_login(request: Request, _: Exception) -> Response:
    if request.method == "GET":
        return RedirectResponse("/login", 303)
    return _told(request, 403, "You are not logged in any more. Log in and repeat what you did.")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _told(request, error.status, str(error))


def _unavailable(request: Request, error: Exception) -> Response:
    log.error("%s", error)
    return _told(request, 503, "The store cannot be reached, and nothing was changed. Try again in a minute.")


def _malformed(request: Request, _: Exception) -> Response:
    return _told(request, 400, "This form lacks something, or has too much of it. Load the page again.")


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _told(request, error.status_code, WORDS.get(error.status_code, "This request cannot be answered."))


def _told(request: Request, status: int, message: str) -> Response:
    """An error as a page that needs no store, which may be what failed."""
    site: Site = request.app.state.site
    page = site.environment.get_template("refused.html.j2").render(message=message, run=site.run)
    headers = {"Retry-After": "5"} if status in (429, 503) else None
    return Response(page, status, headers, "text/html; charset=utf-8")
