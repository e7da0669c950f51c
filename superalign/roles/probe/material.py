"""What teaches probes: labelled answers, kinds of seeds, and answers of which a rule knows what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from superalign.experts.items import Item
from superalign.prompts.policy import ACCEPTABLE, Policy
from superalign.prompts.refusal import is_refusal
from superalign.records import ExpertLabel
from superalign.roles.critic.composition import told

LABELLED, SEEDED, RULED = 1.0, 0.5, 0.25
"""Weight of a label that somebody gave, of what the kind of a seed tells, and of what a rule tells."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request and an answer, with P(yes) for one dimension."""

    query: str
    response: str
    y: float
    weight: float


Material = dict[str, list[Example]]
"""Examples by dimension."""


def labelled(policy: Policy, pairs: Iterable[tuple[Item, ExpertLabel]]) -> Material:
    """Labels of single answers; of whole verdicts what follows from them and the kind of the request."""
    found: Material = {name: [] for name in policy.dimensions}
    for item, label in pairs:
        if item.kind != "point":
            continue
        for name, y in told(policy, item, label).items():
            found[name].append(Example(item.query, item.first, y, LABELLED))
    return found


def seeded(policy: Policy, requests: Sequence[tuple[str, bool]], answers: dict[str, str]) -> Material:
    """What the kinds of (request, harmful) tell; each is read with an answer of it, where there is one."""
    return {
        name: [
            Example(text, answers.get(text, ""), float(harmful == (d.seeds == "harmful")), SEEDED)
            for text, harmful in requests
        ]
        for name, d in policy.dimensions.items()
        if d.seeds is not None
    }


def ruled(
    policy: Policy, answers: Sequence[tuple[str, str]], flawed: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[str, Example]]:
    """What rules tell: of answers, whether they refuse by their words; of (query, answer, flawed answer), the flaw.

    A refusal is not garbled, and a flaw that is a refusal garbles nothing.
    """
    for name, dimension in policy.dimensions.items():
        if dimension.rule == "refusal":
            for query, response in answers:
                yield name, Example(query, response, float(not is_refusal(response)), RULED)
        elif dimension.rule == "garbled" or name == ACCEPTABLE:
            for query, response, bad in flawed:
                if name == ACCEPTABLE or not (is_refusal(response) or is_refusal(bad)):
                    yield name, Example(query, response, 1.0, RULED)
                    yield name, Example(query, bad, 0.0, RULED)
