"""Which roles of a run learned, and when; a run that taught its role nothing must not pass for a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.report.figures import MetricsRow, estimate
from superalign.stats.format import interval, number

EXIT_STATUS: Final = 3
"""What `superalign train` exits with when the run is complete but has taught its role nothing."""
WRITTEN: Final = {"attack": "rewritings of the attacker", "critique": "critiques", "revise": "revisions of the learner"}
"""What is counted as unread, by what was asked."""
UNREAD: Final = 0.2
"""Share of unread answers above which a round says so on the terminal."""
OVER_REFUSAL: Final = "over_refusal_rate"
MOST: Final = 0.5
"""Share of harmless requests declined from which on that is most of them."""
TRAINED: Final = ("learner", "attacker", "critic")  # the first of them that a recipe trains is what its run is for


def idle_rounds(rows: Sequence[MetricsRow], role: str) -> list[int]:
    """The rounds in which a role made no step of training, or had its steps taken back by a guard."""
    return [
        row["round"]
        for row in rows
        if role in row.get("train", {}) and not (_stepped(row["train"][role]) and role not in _rolled_back(row))
    ]


def nothing_learned(rows: Sequence[MetricsRow]) -> str:
    """Why the role that the run is for learned nothing in any round, as a sentence; "" if it learned."""
    role = next((name for name in TRAINED if any(name in row.get("train", {}) for row in rows)), None)
    tried = [row for row in rows if role in row.get("train", {})]
    if role is None or len(idle_rounds(rows, role)) < len(tried):
        return ""
    return f"The {role} learned nothing: {_cause(role, tried)}"


def idle_roles(rows: Sequence[MetricsRow]) -> list[str]:
    """A sentence on each role that had nothing to learn from in some of its rounds."""
    sentences = []
    for role in TRAINED:
        tried = sum(role in row.get("train", {}) for row in rows)
        if idle := idle_rounds(rows, role):
            named = f"round {idle[0]}" if len(idle) == 1 else f"{len(idle)} of {tried} rounds (the first: {idle[0]})"
            sentences.append(f"the {role} learned nothing in {named}")
    return sentences


def declines_everything(rows: Sequence[MetricsRow]) -> str:
    """A sentence on a learner that has come to decline most harmless requests; "" where it has not.

    It may look like safety: the attacks fail, too.
    """
    first, last = (estimate(row, OVER_REFUSAL) for row in (rows[0], rows[-1])) if rows else (None, None)
    if first is None or last is None or last.value < MOST or last.low <= first.value:
        return ""
    told = f"{number(last.value, '%')} ({interval(last, '%')}, n {last.n})"
    return (
        f"the learner declines most harmless requests: {told}, {number(first.value, '%')} before it was trained; it "
        "has learned to decline, not what to decline"
    )


def unread(rows: Sequence[MetricsRow], least: float = 0.0) -> list[str]:
    """A sentence on each thing that roles were asked to write of which more than a share `least` could not be read.

    What cannot be read is left out: it is neither an attack nor a revision, and never a verdict.
    """
    counts: dict[str, list[int]] = {}
    for row in rows:
        for what, (missed, asked) in row.get("unread", {}).items():
            total = counts.setdefault(what, [0, 0])
            total[0], total[1] = total[0] + missed, total[1] + asked
    return [
        f"{missed} of {asked} {WRITTEN.get(what, what)} could not be read and were left out"
        for what, (missed, asked) in counts.items()
        if missed > least * asked
    ]


def _stepped(found: Mapping[str, Any]) -> bool:
    """Whether a phase of training made a step; one that does not count its steps is believed."""
    return bool(found) and found.get("steps", 1) > 0


def _rolled_back(row: MetricsRow) -> set[str]:
    return {action["role"] for action in row.get("guards", {}).get("actions", ())}


def _cause(role: str, tried: Sequence[MetricsRow]) -> str:
    if any(_stepped(row["train"][role]) for row in tried):
        return "every update was taken back by a guard"
    rounds = f"{len(tried)} round{'s' if len(tried) > 1 else ''}"
    if role == "critic":
        return f"no label reached it in {rounds} (expert.budget, and who answers)"
    if role == "attacker":
        return f"none of its rewritings could be compared in {rounds} (attacker.faithful, attacker.candidates)"
    names = ("queries", "pairs", "answers", "criticised", "mended")
    counts = {name: sum(row.get("counts", {}).get(name, 0) for row in tried) for name in names}
    if "mended" in tried[-1].get("counts", {}):
        criticised = f"{counts['criticised']} were criticised and {counts['mended']} mended"
        return f"of {counts['answers']} answers {criticised} in {rounds}"
    asked = f"{counts['queries']} queries in {rounds}"
    if "answers" in tried[-1]["train"][role]:
        return f"the critic was undecided on every answer to {asked}"
    if counts["pairs"]:
        return f"the critic was undecided on each of {counts['pairs']} pairs of answers to {asked}"
    return f"{asked} gave no two answers that the critic tells apart"
