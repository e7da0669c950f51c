"""What "acceptable" means, as data: dimensions that are judged apart, and how their verdicts compose."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from functools import cached_property
from itertools import product
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from superalign.prompts.asks import Data

ACCEPTABLE: Final = "acceptable"
"""The dimension of a policy that asks one question alone, and what every policy's verdicts compose to."""
BOUND: Final = 30.0  # nats
SMALLEST: Final = 1e-6  # what a composed probability is kept away from 0 and 1 by


class Dimension(Data):
    """One question about a request or an answer to it, which is yes or no."""

    of: Literal["request", "answer"] = Field(..., description="whether the request decides it, or the answer to it")
    question: str = Field(..., description="what people and models are asked")
    if_yes: str = Field("yes", description="what a yes is called")
    if_no: str = Field("no", description="what a no is called")
    seeds: Literal["harmful", "benign"] | None = Field(
        None,
        description="of a request: seeds of this kind are a yes, those of the other kind a no; null: they tell nothing",
    )
    rule: Literal["refusal", "garbled"] | None = Field(
        None,
        description="of an answer: what is surely a no: one that refuses by its words, or one that was garbled; null: "
        "nothing is",
    )


class Fault(Data):
    """One way in which an answer is not acceptable."""

    when: str = Field(..., description="when it is there, in terms of the dimensions")
    says: str = Field(..., description="the fault in a sentence, for critiques")


class Policy(Data):
    """What is judged, and when an answer is acceptable.

    Expressions are made of names of dimensions, `not`, `and`, `or`, and `A if B else C`. They are taken as of
    independent events: P(not a) = 1 - p, P(a and b) = p q, P(a or b) = 1 - (1 - p)(1 - q), and
    P(a if b else c) = q p + (1 - q) r.
    """

    name: str
    dimensions: dict[str, Dimension]
    acceptable: str = Field(..., description="when an answer is acceptable, in terms of the dimensions")
    faults: dict[str, Fault] = Field({}, description="ways of not being acceptable, each with a revision of its own")
    principles: tuple[str, ...] = Field((), description="principles, for critiques by a constitution")
    guideline: str = Field("", description="what experts are told, as text")

    @model_validator(mode="after")
    def _expressions(self) -> Self:
        if not self.dimensions:
            raise ValueError("has no dimension: name one at least")
        for where, text in (
            ("acceptable", self.acceptable),
            *((f"faults.{n}", f.when) for n, f in self.faults.items()),
        ):
            try:
                self.probability(text, dict.fromkeys(self.dimensions, 0.5))
            except (ValueError, SyntaxError) as error:
                raise ValueError(f"{where}: {text!r} {error}") from None
        return self

    @cached_property
    def single(self) -> str | None:
        """The one dimension of a policy that composes nothing."""
        name = next(iter(self.dimensions))
        return name if len(self.dimensions) == 1 and self.acceptable.strip() == name else None

    def of(self, what: Literal["request", "answer"]) -> tuple[str, ...]:
        """The dimensions of requests, or of answers."""
        return tuple(name for name, dimension in self.dimensions.items() if dimension.of == what)

    def compose(self, p: Mapping[str, float]) -> float:
        """P(acceptable) from a probability for each dimension."""
        return self.probability(self.acceptable, p)

    def log_odds(self, odds: Mapping[str, float]) -> float:
        """Log-odds (nats) of acceptable from those of each dimension."""
        if self.single:
            return odds[self.single]
        p = self.compose({name: 1 / (1 + math.exp(-min(max(x, -BOUND), BOUND))) for name, x in odds.items()})
        p = min(max(p, SMALLEST), 1 - SMALLEST)
        return math.log(p / (1 - p))

    def fault(self, p: Mapping[str, float]) -> str:
        """The likeliest fault; empty where the policy names none."""
        worth = {name: self.probability(fault.when, p) for name, fault in self.faults.items()}
        return max(worth, key=lambda name: worth[name]) if worth else ""

    def contrast(self, p: Mapping[str, float]) -> str:
        """The fault that an acceptable answer would have if its request were not what it is."""
        asked = self.of("request")
        return self.fault({name: 1 - x if name in asked else x for name, x in p.items()})

    def deduce(self, acceptable: bool, known: Mapping[str, bool]) -> dict[str, bool]:
        """What a verdict on the whole tells about the dimensions, given some of them: those left with one answer."""
        free = [name for name in self.dimensions if name not in known]
        worlds = [
            {**known, **dict(zip(free, answers, strict=True))} for answers in product((False, True), repeat=len(free))
        ]
        fitting = [w for w in worlds if (self.compose({n: float(x) for n, x in w.items()}) > 0.5) == acceptable]
        return {
            name: fitting[0][name]
            for name in self.dimensions
            if fitting and len({world[name] for world in fitting}) == 1
        }

    def probability(self, expression: str, p: Mapping[str, float]) -> float:
        """P(an expression) from a probability for each dimension.

        Raises:
            SyntaxError, ValueError: it is no expression, or names something else than a dimension.
        """
        return _probability(_parsed(expression), p)


def _parsed(expression: str) -> ast.expr:
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise SyntaxError("is no expression of dimensions, not, and, or, and A if B else C") from None


def _probability(node: ast.expr, p: Mapping[str, float]) -> float:
    match node:
        case ast.Name(id=name):
            if name not in p:
                raise ValueError(f"names {name!r}; the dimensions are {', '.join(p)}")
            return p[name]
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return 1 - _probability(inner, p)
        case ast.BoolOp(op=ast.And(), values=parts):
            found = 1.0
            for part in parts:
                found *= _probability(part, p)
            return found
        case ast.BoolOp(op=ast.Or(), values=parts):
            missed = 1.0
            for part in parts:
                missed *= 1 - _probability(part, p)
            return 1 - missed
        case ast.IfExp(test=test, body=yes, orelse=no):
            weight = _probability(test, p)
            return weight * _probability(yes, p) + (1 - weight) * _probability(no, p)
    raise ValueError("has something else than names, not, and, or, and A if B else C")
