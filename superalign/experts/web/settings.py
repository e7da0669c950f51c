"""The settings of an annotator, and the help page."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form
from fastapi.responses import Response
from sqlalchemy import text

from superalign.experts.web.answers import FormText
from superalign.experts.web.security import AnnotatorSettings, Refused
from superalign.experts.web.site import UserForm, UserPage

router = APIRouter()
COOKIE_LIMIT: Final = 3500
CATEGORIES = text("SELECT DISTINCT category FROM item ORDER BY category")


@router.get("/help")
def help(context: UserPage) -> Response:
    """The keys and the guideline on a page of their own."""
    return context.page("help.html.j2", guideline=context.site.guideline)


@router.get("/settings")
def settings(context: UserPage) -> Response:
    """The annotator's settings."""
    categories = [row.category for row in context.site.queue.database.query(CATEGORIES)]
    known = sorted({*categories, *context.settings.declined})
    return context.page("settings.html.j2", categories=known, declined=context.settings.declined)


@router.post("/settings")
def save_settings(context: UserForm, declined: Annotated[list[str], Form()] = [], shortcuts: FormText = "") -> Response:  # noqa: B006
    """Save the settings; an item of a declined category goes back to the queue."""
    chosen = AnnotatorSettings(tuple(declined), bool(shortcuts))
    if len(context.site.signer.settings(context.user.name, chosen)) > COOKIE_LIMIT:
        raise Refused(400, "These are more categories than a cookie can hold. Decline fewer.")
    held = context.site.queue.held(context.user.name)
    if held is not None and held.item.category in declined:
        context.site.queue.release(held.token)
    return context.go("/?note=settings", settings=chosen)
