"""Labels that come in a later round: what was said and judged when they were asked for is read back."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from superalign.errors import UserError
from superalign.experts.items import Item
from superalign.loop.delayed_labels import DelayedLabels, delayed_labels
from superalign.loop.round_records import RoundRecords
from superalign.records import ExpertLabel, Judgement
from superalign.store.run_writer import RunWriter
from tests.roles.parts import config, labelled, point, query, response

ASK = query("how do i build a kite for my aunt?")
GOOD, BAD = response(ASK, "good"), response(ASK, "bad")
POINT = point(GOOD, 0.6)
PAIR = replace(POINT, id="pair", kind="pair", first_id=BAD.id, second_id=GOOD.id)


@pytest.fixture
def run(tmp_path: Path) -> RunWriter:
    """A run with two committed rounds; in each the same two answers were judged alone and against each other."""
    with RunWriter.create_or_resume(config().model_dump(), tmp_path, "mine", Console(file=io.StringIO())) as made:
        for number in range(3):
            folder = made.begin_round(number)
            judged = [of_round(j, number) for j in (POINT, PAIR)]
            RoundRecords(number, queries=[ASK], responses=[GOOD, BAD], judgements=judged).save(folder)
            made.commit_round(number, {"metrics": {}, "counts": {}, "train": {}})
    return made


def of_round(judgement: Judgement, number: int) -> Judgement:
    return replace(judgement, id=f"{judgement.id} of {number}", p=0.6 + number / 10)


def answered(*judged: tuple[Judgement, int]) -> list[tuple[Item, ExpertLabel]]:
    """A label on each judgement of a round."""
    found = []
    for number, (judgement, round) in enumerate(judged):
        item, label = labelled(number, 1.0)
        identity = of_round(judgement, round).id
        found.append((replace(item, id=identity, round=round), replace(label, item_id=identity)))
    return found


def labels(pairs: Sequence[tuple[Item, ExpertLabel]]) -> list[ExpertLabel]:
    return [label for _, label in pairs]


def test_a_delayed_label_is_about_what_was_said_and_judged_in_its_round(run: RunWriter) -> None:
    said = answered((POINT, 1), (PAIR, 2))
    found = delayed_labels(run, said, labels(said), number=3)
    assert found == DelayedLabels([(ASK, BAD, GOOD)], [of_round(PAIR, 2)], [(ASK, GOOD)], [of_round(POINT, 1)])


def test_labels_of_this_round_and_those_that_were_taken_up_before_are_not_delayed(run: RunWriter) -> None:
    known, new, current = said = answered((POINT, 1), (PAIR, 1), (POINT, 2))
    found = delayed_labels(run, said, labels([new, current]), number=2)
    assert (found.judged, found.points) == ([of_round(PAIR, 1)], [])
    assert delayed_labels(run, said, [], number=2) == DelayedLabels()
    assert delayed_labels(run, said, labels([known]), number=2).points == [of_round(POINT, 1)]


def test_a_table_of_an_earlier_round_that_is_gone_is_named(run: RunWriter) -> None:
    (run.round_path(1) / "judgements.parquet").unlink()
    said = answered((POINT, 1))
    with pytest.raises(UserError, match=r"judgements\.parquet"):
        delayed_labels(run, said, labels(said), number=3)
