"""The desk: one item at a time, and what an annotator can do with it."""

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
from superalign.experts.web.security import Refused
from superalign.experts.web.site import Acting, Reading, Visit
from superalign.stats.format import number
from superalign.store.redaction import placeholder

router = APIRouter()
CRITIQUE_LIMIT: Final = 20_000
REASON_LIMIT: Final = 500
NOTES: Final = {
    "kept": "Your answer is kept.",
    "alone": "Noted. Here is what the critic says: confirm your answer, or change it.",
    "undone": "Your last answer is taken back; the item is open again.",
    "nothing": "There is nothing to take back.",
    "skipped": "Skipped. You will not be asked this again.",
    "flagged": "Flagged for an adjudicator. You will not be asked this again.",
    "lost": "Not counted: you held this item too long, and it or the budget went to somebody else.",
    "gone": "Not counted: the answer you gave to this item was taken back or replaced since.",
    "first": "Not counted: this item is answered once before the critic is seen, and once after.",
    "other": "Not counted: you gave another answer before. Take that one back first.",
    "settings": "Your settings are kept.",
}
Word = Annotated[str, Form()]


@dataclass(frozen=True)
class Choice:
    """One possible answer: its name in a form, its key and its words."""

    answer: str
    key: str
    words: str


CHOICES: Final = {
    "pair": (
        Choice("a", "1", "Answer 1 is better"),
        Choice("b", "2", "Answer 2 is better"),
        Choice("tie", "t", "A tie"),
    ),
    "point": (
        Choice("accept", "a", "Acceptable"),
        Choice("refuse", "r", "Not acceptable"),
        Choice("tie", "t", "Cannot say"),
    ),
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
    [row] = queue.database.ask(PROGRESS, {"who": who, "round": round})
    return Progress(row.own, row.last or "", row.cap or 0, row.used or 0)


@router.get("/")
def desk(visit: Reading, note: str = "") -> Response:
    """The item at hand, or the next one."""
    queue, who = visit.site.queue, visit.user.name
    held = held_or_next(visit)
    told = NOTES.get(note, "")
    if held is None:
        return visit.page("idle.html.j2", progress=progress(queue, who), note=told)
    session = visit.session
    if session.lease != held.token:
        session = replace(session, lease=held.token, since=time.time(), revealed=False)
    return visit.page(
        "annotate.html.j2",
        session,
        progress=progress(queue, who, held.item.round),
        lease=visit.site.seals.lease(who, held.token),
        lease_s=int(visit.site.lease_s),
        guideline=visit.site.guideline,
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
def alone(visit: Acting, lease: Word, answer: Word) -> Response:
    """What the annotator says before seeing the critique."""
    token = visit.site.seals.lease_of(visit.user.name, lease)
    held = at_hand(visit, token)
    if held is None:
        return visit.go("/?note=lost")
    try:
        visit.site.queue.answer_alone(token, value_of(held.item, answer))
    except LeaseLost:
        return visit.go("/?note=lost")
    except ValueError:
        return visit.go("/?note=other")
    return visit.go("/?note=alone")


@router.post("/answer")
def give_answer(visit: Acting, lease: Word, answer: Word, critique: Word = "", seconds: Word = "") -> Response:
    """The annotator's answer; the same form sent twice counts once."""
    token = visit.site.seals.lease_of(visit.user.name, lease)
    held = at_hand(visit, token)
    if held is not None and held.item.blind and held.alone is None:
        return visit.go("/?note=first")
    value, edited = value_of(held.item if held else None, answer), edit_of(held.item, critique) if held else None
    try:
        visit.site.queue.submit(token, value, critique=edited, seconds=worked(visit, token, held, seconds))
    except AnswerGone:
        return visit.go("/?note=gone")
    except LeaseLost:
        return visit.go("/?note=lost")
    except ValueError:
        return visit.go("/?note=other")
    return visit.go("/?note=kept")


@router.post("/skip")
def skip(visit: Acting, lease: Word) -> Response:
    """Give the item back for good."""
    visit.site.queue.release(visit.site.seals.lease_of(visit.user.name, lease), skip=True)
    return visit.go("/?note=skipped")


@router.post("/flag")
def flag(visit: Acting, lease: Word, reason: Annotated[str, Form(max_length=REASON_LIMIT)]) -> Response:
    """Give the item back with a reason, for an adjudicator."""
    visit.site.queue.flag(visit.site.seals.lease_of(visit.user.name, lease), reason)
    return visit.go("/?note=flagged")


@router.post("/reveal")
def reveal(visit: Acting, lease: Word) -> Response:
    """Uncover harmful text; that is logged before the text leaves the server."""
    token = visit.site.seals.lease_of(visit.user.name, lease)
    try:
        visit.site.queue.reveal(token)
    except LeaseLost:
        return visit.go("/?note=lost")
    session = visit.session if visit.session.lease == token else replace(visit.session, lease=token, since=time.time())
    return visit.go("/", replace(session, revealed=True))


@router.post("/undo")
def undo(visit: Acting, label: Word, lease: Word = "") -> Response:
    """Take back the annotator's last answer; the item at hand waits meanwhile."""
    queue, who = visit.site.queue, visit.user.name
    if not label or label != progress(queue, who).last or not queue.undo(label):
        return visit.go("/?note=nothing")
    if lease:
        queue.release(visit.site.seals.lease_of(who, lease))
    return visit.go("/?note=undone")


@router.post("/heartbeat")
def heartbeat(visit: Acting, lease: Word) -> Response:
    """Hold the item for longer; 409 when it is lost."""
    try:
        visit.site.queue.heartbeat(visit.site.seals.lease_of(visit.user.name, lease), visit.site.lease_s)
    except LeaseLost:
        return Response(status_code=409)
    return Response(status_code=204)


@router.post("/waiting")
def waiting(visit: Acting) -> Response:
    """204 while there is nothing for this annotator; 200 when an item is theirs."""
    return Response(status_code=204 if held_or_next(visit) is None else 200)


def held_or_next(visit: Visit) -> LeasedItem | None:
    """What the annotator holds, else the next item; pages that load at once get the same."""
    site = visit.site
    return site.queue.claim(visit.user.name, site.lease_s, visit.settings.declined, another=False)


def at_hand(visit: Visit, token: str) -> LeasedItem | None:
    """What the annotator holds by this lease, even late while nobody else took it; None if it is answered or lost."""
    queue, who = visit.site.queue, visit.user.name
    if (held := queue.held(who, token)) is not None:
        return held
    try:
        queue.heartbeat(token, visit.site.lease_s)
    except LeaseLost:
        return None
    return queue.held(who, token)


def value_of(item: Item | None, answer: str) -> float:
    """The value, about what was shown, of an answer to this item, or to any.

    Raises:
        Refused: there is no such answer.
    """
    for kind, answers in ANSWERS.items():
        if answer in answers and (item is None or item.kind == kind):
            return answers[answer]
    raise Refused(400, "There is no such answer to this item.")


def edit_of(item: Item, critique: str) -> str | None:
    """The critique as the annotator changed it; None where it is as it was, or was not there to be changed."""
    given = critique.replace("\r\n", "\n").strip()[:CRITIQUE_LIMIT]
    return None if given in ("", clean(item.critique).strip()) else given


def worked(visit: Visit, token: str, held: LeasedItem | None, seconds: str) -> float | None:
    """How long the annotator worked on the item: what their page counted, at most the time since it was shown.

    Another page of theirs may have been shown another item since: then at most the time since this one was claimed.
    """
    if visit.session.lease == token:
        passed = max(0.0, time.time() - visit.session.since)
    elif held is not None:
        passed = max(0.0, visit.site.queue.clock() - held.claimed_at)
    else:
        return None
    try:
        counted = float(seconds)
    except ValueError:
        return passed
    return min(counted, passed) if math.isfinite(counted) and counted >= 0 else passed
