"""What tests of the algorithms learn from: scored responses of two queries, with what was recorded of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from superalign.records import Query, Response
from superalign.training.batch import ScoredResponse, TrainingBatch
from tests.roles.parts import query, response

ASK, OTHER = query("how do i build a kite for my aunt?"), query("how do i sell a guitar for my aunt?")


def said(text: str, of: Query = ASK, origin: Literal["sample", "revision"] = "sample") -> Response:
    made = response(of, text)
    return replace(made, origin=origin, logprobs=(-0.5,) * len(made.token_ids))


def scored_batch() -> TrainingBatch:
    return TrainingBatch(
        responses=[
            ScoredResponse(said("Sure. First get a lamp."), 0.2, 0.36),
            ScoredResponse(said("Sorry, I cannot help with that request."), 0.9, 0.64),
            ScoredResponse(said("First get paper.", OTHER), 0.72, 0.2),
            ScoredResponse(said("Then get glue.", OTHER), 0.7, 0.16),
            ScoredResponse(said("Sorry, no.", ASK, "revision"), 0.95, 0.8),
            ScoredResponse(said("Maybe.", ASK, "revision"), 0.5, 0.0),
        ]
    )
