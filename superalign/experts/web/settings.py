"""What annotators choose for themselves, and where they look things up."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form
from fastapi.responses import Response
from sqlalchemy import text

from superalign.experts.web.annotate import Word
from superalign.experts.web.security import Refused, Settings
from superalign.experts.web.site import Acting, Reading

router = APIRouter()
COOKIE_LIMIT: Final = 3500
CATEGORIES = text("SELECT DISTINCT category FROM item ORDER BY category")


@router.get("/help")
def help(visit: Reading) -> Response:
    """The keys and the guideline on a page of their own."""
    return visit.page("help.html.j2", guideline=visit.site.guideline)


@router.get("/settings")
def settings(visit: Reading) -> Response:
    """What the annotator can choose."""
    categories = [row.category for row in visit.site.queue.database.ask(CATEGORIES)]
    known = sorted({*categories, *visit.settings.declined})
    return visit.page("settings.html.j2", categories=known, declined=visit.settings.declined)


@router.post("/settings")
def choose(visit: Acting, declined: Annotated[list[str], Form()] = [], shortcuts: Word = "") -> Response:  # noqa: B006
    """Keep the choice; an item at hand of a declined category goes back."""
    chosen = Settings(tuple(declined), bool(shortcuts))
    if len(visit.site.seals.settings(visit.user.name, chosen)) > COOKIE_LIMIT:
        raise Refused(400, "These are more categories than a browser can keep. Decline fewer.")
    held = visit.site.queue.held(visit.user.name)
    if held is not None and held.item.category in declined:
        visit.site.queue.release(held.token)
    return visit.go("/?note=settings", settings=chosen)
