"""The annotation page: one item at a time, and what an annotator can do with it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form
from fastapi.responses import Response
from sqlalchemy import text

from superalign.experts.interchange import ANSWERS
from superalign.experts.items import AnswerGone, Item, LeasedItem, LeaseLost
from superalign.experts.queue import ExpertQueue
from superalign.experts.terminal import clean
from superalign.experts.web.answers import CHOICES, FormText, letters_of, step, verdict_of
from superalign.experts.web.site import RequestContext, UserForm, UserPage
from superalign.records import by_dimension
from superalign.stats.format import number
from superalign.store.redaction import placeholder

router = APIRouter()
CRITIQUE_LIMIT: Final = 20_000
REASON_LIMIT: Final = 500
NOTES: Final = {
    "kept": "Your answer is saved.",
    "alone": "Your first answer is saved. Here is what the critic says: confirm your answer, or change it.",
    "undone": "Your last answer is taken back; the item is open again.",
    "nothing": "There is nothing to undo.",
    "skipped": "Skipped. You will not be asked this again.",
    "flagged": "Flagged for an adjudicator. You will not be asked this again.",
    "lost": "Not counted: your time on this item ran out, and somebody else took the item or the last of the budget.",
    "gone": "Not counted: your answer to this item was taken back or replaced in the meantime.",
    "first": "Not counted: answer this item first without the critic, then again with it.",
    "other": "Not counted: you have answered differently before. Undo that answer first.",
    "settings": "Your settings are saved.",
}


@dataclass(frozen=True)
class Progress:
    """How far an annotator and a round are; `last` is the label that an undo would take back."""

    own: int
    last: str
    cap: int
    used: int


PROGRESS = text("""
SELECT (SELECT COUNT(*) FROM live WHERE annotator = :who) AS own,
    (SELECT id FROM live WHERE annotator = :who ORDER BY seq DESC LIMIT 1) AS last, cap, used
FROM (SELECT 1 AS one) AS always
LEFT JOIN budget ON round = COALESCE(:round, (SELECT MAX(round) FROM budget))
""")


def progress(queue: ExpertQueue, who: str, round: int | None = None) -> Progress:
    """The figures at the top of the page; without a round the newest one's budget."""
    [row] = queue.database.query(PROGRESS, {"who": who, "round": round})
    return Progress(row.own, row.last or "", row.cap or 0, row.used or 0)


@router.get("/")
def annotate(context: UserPage, note: str = "", item: str = "", said: str = "") -> Response:
    """The item that the annotator holds, or the next one.

    `said` are the answers so far to its questions, if it is this item and asked question by question.
    """
    queue, who = context.site.queue, context.user.name
    held = held_or_next(context)
    told = NOTES.get(note, "")
    if held is None:
        return context.page("idle.html.j2", progress=progress(queue, who), note=told)
    session = context.session
    if session.lease != held.token:
        session = replace(session, lease=held.token, since=time.time(), revealed=False)
    questions = queue.questions if held.item.kind == "point" else None
    if questions and item != held.item.id:
        said = letters_of(questions, by_dimension(held.dimensions))
    return context.page(
        "annotate.html.j2",
        session,
        step=step(questions, said) if questions else None,
        progress=progress(queue, who, held.item.round),
        lease=context.site.signer.lease(who, held.token),
        lease_s=int(context.site.lease_s),
        guideline=context.site.guideline,
        note=told,
        **view(held, session.revealed),
    )


def view(held: LeasedItem, revealed: bool) -> dict[str, Any]:
    """What the page may show of an item now: covered texts and a critique that is not due are not in it at all."""
    item = held.item
    covered = item.harmful and not revealed

    def uncovered(words: str) -> str:
        return placeholder(words) if covered else words

    critic = None
    if not item.blind or held.alone is not None:
        critic = {"verdict": verdict(item), "critique": uncovered(item.critique), "about": item.about}
    return {
        "item": item,
        "covered": covered,
        "query": uncovered(item.query),
        "answers": [uncovered(answer) for answer in item.shown if item.kind == "pair" or answer == item.first],
        "choices": CHOICES[item.kind],
        "critic": critic,
        "alone": next((c.words for c in CHOICES[item.kind] if ANSWERS[item.kind][c.answer] == held.alone), None),
        "critique_limit": CRITIQUE_LIMIT,
        "reason_limit": REASON_LIMIT,
    }


def verdict(item: Item) -> str:
    """What the critic thinks, about the responses as they are shown."""
    p = item.as_shown(item.p)
    if p == 0.5:
        return "undecided"
    words = ("Answer 1 is better", "Answer 2 is better") if item.kind == "pair" else ("Acceptable", "Not acceptable")
    return f"{words[p < 0.5]} ({number(max(p, 1 - p), '%', 0)} sure)"


@router.post("/alone")
def alone(context: UserForm, lease: FormText, answer: FormText = "", said: FormText = "") -> Response:
    """What the annotator says before seeing the critique."""
    token = context.site.signer.lease_of(context.user.name, lease)
    held = held_by(context, token)
    if held is None:
        return context.go("/?note=lost")
    value, dimensions = verdict_of(held.item, context.site.queue.questions, answer, said)
    try:
        context.site.queue.answer_alone(token, value, dimensions)
    except LeaseLost:
        return context.go("/?note=lost")
    except ValueError:
        return context.go("/?note=other")
    return context.go("/?note=alone")


@router.post("/answer")
def give_answer(
    context: UserForm,
    lease: FormText,
    answer: FormText = "",
    said: FormText = "",
    critique: FormText = "",
    seconds: FormText = "",
) -> Response:
    """The annotator's answer; the same form sent twice counts once."""
    token = context.site.signer.lease_of(context.user.name, lease)
    held = held_by(context, token)
    if held is not None and held.item.blind and held.alone is None:
        return context.go("/?note=first")
    queue, item = context.site.queue, held.item if held else None
    value, dimensions = verdict_of(item, queue.questions, answer, said)
    edited, spent = edit_of(item, critique) if item else None, seconds_spent(context, token, held, seconds)
    try:
        queue.submit(token, value, critique=edited, seconds=spent, dimensions=dimensions)
    except AnswerGone:
        return context.go("/?note=gone")
    except LeaseLost:
        return context.go("/?note=lost")
    except ValueError:
        return context.go("/?note=other")
    return context.go("/?note=kept")


@router.post("/skip")
def skip(context: UserForm, lease: FormText) -> Response:
    """Give the item back for good."""
    context.site.queue.release(context.site.signer.lease_of(context.user.name, lease), skip=True)
    return context.go("/?note=skipped")


@router.post("/flag")
def flag(context: UserForm, lease: FormText, reason: Annotated[str, Form(max_length=REASON_LIMIT)]) -> Response:
    """Give the item back with a reason, for an adjudicator."""
    context.site.queue.flag(context.site.signer.lease_of(context.user.name, lease), reason)
    return context.go("/?note=flagged")


@router.post("/reveal")
def reveal(context: UserForm, lease: FormText) -> Response:
    """Uncover harmful text; that is logged before the text leaves the server."""
    token = context.site.signer.lease_of(context.user.name, lease)
    try:
        context.site.queue.reveal(token)
    except LeaseLost:
        return context.go("/?note=lost")
    session = (
        context.session if context.session.lease == token else replace(context.session, lease=token, since=time.time())
    )
    return context.go("/", replace(session, revealed=True))


@router.post("/undo")
def undo(context: UserForm, label: FormText, lease: FormText = "") -> Response:
    """Take back the annotator's last answer; the item that is shown waits meanwhile."""
    queue, who = context.site.queue, context.user.name
    if not label or label != progress(queue, who).last or not queue.undo(label):
        return context.go("/?note=nothing")
    if lease:
        queue.release(context.site.signer.lease_of(who, lease))
    return context.go("/?note=undone")


@router.post("/heartbeat")
def heartbeat(context: UserForm, lease: FormText) -> Response:
    """Hold the item for longer; 409 when it is lost."""
    try:
        context.site.queue.heartbeat(context.site.signer.lease_of(context.user.name, lease), context.site.lease_s)
    except LeaseLost:
        return Response(status_code=409)
    return Response(status_code=204)


@router.post("/waiting")
def waiting(context: UserForm) -> Response:
    """204 while there is nothing for this annotator; 200 when an item is theirs."""
    return Response(status_code=204 if held_or_next(context) is None else 200)


def held_or_next(context: RequestContext) -> LeasedItem | None:
    """What the annotator holds, else the next item; pages that load at once get the same."""
    site = context.site
    return site.queue.claim(context.user.name, site.lease_s, context.settings.declined, another=False)


def held_by(context: RequestContext, token: str) -> LeasedItem | None:
    """What the annotator holds by this lease, even late while nobody else took it; None if it is answered or lost."""
    queue, who = context.site.queue, context.user.name
    if (held := queue.held(who, token)) is not None:
        return held
    try:
        queue.heartbeat(token, context.site.lease_s)
    except LeaseLost:
        return None
    return queue.held(who, token)


def edit_of(item: Item, critique: str) -> str | None:
    """The critique as the annotator changed it; None where it is as it was, or was not there to be changed."""
    given = critique.replace("\r\n", "\n").strip()[:CRITIQUE_LIMIT]
    return None if given in ("", clean(item.critique).strip()) else given


def seconds_spent(context: RequestContext, token: str, held: LeasedItem | None, seconds: str) -> float | None:
    """How long the annotator worked on the item: what their page counted, at most the time since it was shown.

    Another page of theirs may have been shown another item since: then at most the time since this one was claimed.
    """
    if context.session.lease == token:
        passed = max(0.0, time.time() - context.session.since)
    elif held is not None:
        passed = max(0.0, context.site.queue.clock() - held.claimed_at)
    else:
        return None
    try:
        counted = float(seconds)
    except ValueError:
        return passed
    return min(counted, passed) if math.isfinite(counted) and counted >= 0 else passed
