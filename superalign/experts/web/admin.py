"""Statistics, flags and users: the pages of adjudicators and admins."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form
from fastapi.responses import Response

from superalign.errors import UserError
from superalign.experts.items import LabelRefused
from superalign.experts.questions import asked
from superalign.experts.statistics import summary
from superalign.experts.terminal import clean
from superalign.experts.web.answers import CHOICES, FormText, chosen_of, told
from superalign.experts.web.security import Refused
from superalign.experts.web.site import AdjudicatorForm, AdjudicatorPage, AdminForm, AdminPage, RequestContext, log
from superalign.store.redaction import placeholder

router = APIRouter()
NOTES: Final = {
    "kept": "Your answer is saved.",
    "refused": "Not counted: the item has all the answers it needs.",
    "missing": "Not counted: a question that matters is not answered.",
}


@router.get("/statistics")
def statistics(context: AdjudicatorPage) -> Response:
    """How far the experts can be trusted and what they cost."""
    queue = context.site.queue
    found = summary(queue.answers(), hourly_rate=context.site.hourly_rate)
    return context.page("statistics.html.j2", found=found, rounds=queue.stats()["rounds"])


@router.get("/flags")
def flags(context: AdjudicatorPage, note: str = "") -> Response:
    """What annotators flagged; harmful text only of the item that was uncovered."""
    return _flags(context, "", note)


@router.post("/flags/reveal")
def uncover(context: AdjudicatorForm, item: FormText) -> Response:
    """Uncover one item's text for this one answer; that is logged."""
    try:
        context.site.queue.uncover(item, context.user.name)
    except ValueError:
        raise Refused(404, "There is no such item.") from None
    return _flags(context, item, "")


@router.post("/flags/answer")
def adjudicate(
    context: AdjudicatorForm,
    item: FormText,
    answer: FormText = "",
    said: Annotated[list[str], Form()] = [],  # noqa: B006
) -> Response:
    """Answer a flagged item; `said` are the answers to its questions, in order, where there are several."""
    queue = context.site.queue
    found = next((one for one in queue.items() if one.id == item), None)
    if found is None:
        raise Refused(404, "There is no such item.")
    given = chosen_of(found, queue.questions, answer, said)
    if given is None:
        return context.go("/flags?note=missing")
    try:
        queue.record([(item, context.user.name, *given)], source="adjudication")
    except LabelRefused:
        return context.go("/flags?note=refused")
    return context.go("/flags?note=kept")


@router.get("/users")
def users(context: AdminPage) -> Response:
    """Who may log in, and whether the log is whole."""
    return _users(context)


@router.post("/users")
def add(context: AdminForm, name: Annotated[str, Form(max_length=200)], role: FormText) -> Response:
    """Add a user; the page that answers shows their token, once."""
    try:
        token = context.site.users.add(name, role)  # type: ignore[arg-type]  # checked there
    except UserError as error:
        raise Refused(400, f"{error}."[:1].upper() + f"{error}."[1:]) from None
    log.info("%s added %s (%s)", clean(context.user.name), clean(name), role)
    return _users(context, name.strip(), token)


@router.post("/users/disable")
def disable(context: AdminForm, name: FormText) -> Response:
    """Disable a user, at once."""
    if name == context.user.name:
        raise Refused(400, "You cannot disable yourself.")
    try:
        context.site.users.disable(name)
    except UserError:
        raise Refused(404, "There is no such user.") from None
    context.site.queue.release_all(name)
    return context.go("/users")


def _users(context: RequestContext, name: str = "", token: str = "") -> Response:
    queue = context.site.queue
    labels = queue.stats()["annotators"]
    return context.page(
        "users.html.j2", users=context.site.users.all(), labels=labels, faults=queue.verify(), name=name, token=token
    )


def _flags(context: RequestContext, revealed: str, note: str) -> Response:
    queue = context.site.queue
    items = {item.id: item for item in queue.items()}
    own = {answer.item_id: answer for answer in queue.answers() if answer.annotator == context.user.name}
    rows = []
    for flag in reversed(queue.flags()):
        item = items[flag.item_id]
        covered = item.harmful and item.id != revealed
        texts = [("Request", item.query), ("Answer", item.first)]
        if item.kind == "pair":
            texts = [("Request", item.query), *((f"Answer {n}", t) for n, t in enumerate(item.shown, start=1))]
        given = None
        if item.id in own:
            given = told(item, item.as_shown(own[item.id].value), queue.questions, own[item.id].dimensions)
        rows.append(
            {
                "flag": flag,
                "item": item,
                "covered": covered,
                "texts": [(title, placeholder(text) if covered else text) for title, text in texts],
                "choices": CHOICES[item.kind],
                "questions": asked(item.kind, queue.questions) if queue.questions and item.kind == "point" else (),
                "given": given,
            }
        )
    return context.page("flags.html.j2", rows=rows, note=NOTES.get(note, ""))
