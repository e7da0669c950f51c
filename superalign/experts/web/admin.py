"""The office: statistics, flags and users, for adjudicators and admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import Response

from superalign.errors import UserError
from superalign.experts.interchange import ANSWERS
from superalign.experts.items import LabelRefused
from superalign.experts.statistics import summary
from superalign.experts.terminal import clean
from superalign.experts.web.annotate import CHOICES, Word, value_of
from superalign.experts.web.security import Refused
from superalign.experts.web.site import Administering, Changing, Deciding, Reviewing, Visit, log
from superalign.store.redaction import placeholder

router = APIRouter()


@router.get("/statistics")
def statistics(visit: Reviewing) -> Response:
    """How far the experts can be trusted and what they cost."""
    queue = visit.site.queue
    found = summary(queue.answers(), hourly_rate=visit.site.hourly_rate)
    return visit.page("statistics.html.j2", found=found, rounds=queue.stats()["rounds"])


@router.get("/flags")
def flags(visit: Reviewing, show: str = "", note: str = "") -> Response:
    """What annotators flagged; harmful text only of the item that was uncovered."""
    return _flags(visit, "", note)


@router.post("/flags/reveal")
def uncover(visit: Deciding, item: Word) -> Response:
    """Uncover one item's text for this one answer; that is logged."""
    try:
        visit.site.queue.uncover(item, visit.user.name)
    except ValueError:
        raise Refused(404, "There is no such item.") from None
    return _flags(visit, item, "")


@router.post("/flags/answer")
def adjudicate(visit: Deciding, item: Word, answer: Word) -> Response:
    """Answer a flagged item."""
    queue = visit.site.queue
    found = next((one for one in queue.items() if one.id == item), None)
    if found is None:
        raise Refused(404, "There is no such item.")
    try:
        queue.record([(item, visit.user.name, value_of(found, answer))], source="adjudication")
    except LabelRefused:
        return visit.go("/flags?note=refused")
    return visit.go("/flags?note=kept")


@router.get("/users")
def users(visit: Administering) -> Response:
    """Who may log in, and whether the log is whole."""
    return _users(visit)


@router.post("/users")
def add(visit: Changing, name: Annotated[str, Form(max_length=200)], role: Word) -> Response:
    """Let somebody in; the page that answers shows their token, once."""
    try:
        token = visit.site.users.add(name, role)  # type: ignore[arg-type]  # checked there
    except UserError as error:
        raise Refused(400, f"{error}."[:1].upper() + f"{error}."[1:]) from None
    log.info("%s added %s (%s)", clean(visit.user.name), clean(name), role)
    return _users(visit, name.strip(), token)


@router.post("/users/disable")
def disable(visit: Changing, name: Word) -> Response:
    """Shut somebody out, at once."""
    if name == visit.user.name:
        raise Refused(400, "You cannot shut yourself out.")
    try:
        visit.site.users.disable(name)
    except UserError:
        raise Refused(404, "There is no such user.") from None
    visit.site.queue.release_all(name)
    return visit.go("/users")


def _users(visit: Visit, name: str = "", token: str = "") -> Response:
    queue = visit.site.queue
    labels = queue.stats()["annotators"]
    return visit.page(
        "users.html.j2", users=visit.site.users.all(), labels=labels, faults=queue.verify(), name=name, token=token
    )


def _flags(visit: Visit, revealed: str, note: str) -> Response:
    queue = visit.site.queue
    items = {item.id: item for item in queue.items()}
    own = {answer.item_id: answer for answer in queue.answers() if answer.annotator == visit.user.name}
    rows = []
    for flag in reversed(queue.flags()):
        item = items[flag.item_id]
        covered = item.harmful and item.id != revealed
        texts = [("Request", item.query), ("Answer", item.first)]
        if item.kind == "pair":
            texts = [("Request", item.query), *((f"Answer {n}", t) for n, t in enumerate(item.shown, start=1))]
        given = None
        if item.id in own:
            value = item.as_shown(own[item.id].value)
            given = next(c.words for c in CHOICES[item.kind] if ANSWERS[item.kind][c.answer] == value)
        rows.append(
            {
                "flag": flag,
                "item": item,
                "covered": covered,
                "texts": [(title, placeholder(text) if covered else text) for title, text in texts],
                "choices": CHOICES[item.kind],
                "given": given,
            }
        )
    told = {"kept": "Your answer is kept.", "refused": "Not counted: the item has all the answers it needs."}
    return visit.page("flags.html.j2", rows=rows, note=told.get(note, ""))
