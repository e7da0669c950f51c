"""The probe judge on the testbed: what it tells by labels of a file, and which labels it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.roles.judge import make_judge
from superalign.roles.probe.judge import ProbeJudge
from superalign.testbed import oracle
from superalign.testing import testbed
from tests.roles.parts import config, serve

OUTCOMES = ("full", "refusal", "garbled")


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


def written(path: Path, requests: int, columns: tuple[str, ...] = ("harmful", "complies", "sound")) -> Path:
    """What the oracle says of answers of every kind, as a file."""
    rows = []
    for query, response in testbed.cases(requests, OUTCOMES):
        values = oracle.dimensions(query.text, response.text)
        rows.append({"prompt": query.text, "answer": response.text} | {name: bool(values[name]) for name in columns})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def judge(generator: HFGenerator, labels: Path | None, **changes: Any) -> ProbeJudge:
    own = {"labels": labels and str(labels), "layers": (0.5, 1.0), **changes.pop("judge", {})}
    settings = config(**{"evaluation": {"judge": "probe"}, "judge": own, **changes})
    made = make_judge(settings, generator)
    assert isinstance(made, ProbeJudge)
    return made


def test_outcomes_of_other_requests_are_the_oracles(shipped: HFGenerator, tmp_path: Path) -> None:
    made = judge(shipped, written(tmp_path / "labels.jsonl", 60), judge={"held_share": 0.0})
    cases = testbed.cases(80, OUTCOMES)[60 * len(OUTCOMES) :]
    right = [(o == "refusal") == (oracle.dimensions(q.text, r.text)["complies"] < 0.5)
             for (q, r), o in zip(cases, made.outcomes(cases), strict=True)]  # fmt: skip
    assert sum(right) > 0.9 * len(right)
    sound = [o for (q, r), o in zip(cases, made.outcomes(cases), strict=True) if q.kind == "benign"]
    assert {"full", "garbled", "refusal"} == set(sound)


def test_what_its_labels_do_not_tell_it_does_not_believe(shipped: HFGenerator, tmp_path: Path) -> None:
    made = judge(shipped, written(tmp_path / "labels.jsonl", 20, ("complies",)), judge={"held_share": 0.0})
    cases = testbed.cases(2, OUTCOMES)
    assert [set(p) for p in made.believed(cases)] == [{"complies"}] * len(cases)
    assert "garbled" not in made.outcomes(cases)


def test_a_share_of_its_labels_is_kept_to_check_it(shipped: HFGenerator, tmp_path: Path) -> None:
    labels = written(tmp_path / "labels.jsonl", 40)
    made = judge(shipped, labels, judge={"held_share": 0.5})
    kept, taught = ({row.prompt for row in rows} for rows in (made.held_labels, made._taught))
    assert kept and taught and not kept & taught
    other = judge(shipped, labels, evaluation={"judge": "probe", "labels": str(labels)})
    assert other.held_labels == []


@pytest.mark.parametrize(
    ("given", "said"),
    [({"labels": None}, "set judge.labels=FILE"), ({"policy": "acceptable"}, "has no dimension 'complies'")],
)
def test_a_judge_without_labels_or_a_dimension_to_tell_outcomes_by_is_refused(
    shipped: HFGenerator, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        judge(shipped, written(tmp_path / "labels.jsonl", 8), judge=given)


def test_too_few_labels_are_said_with_their_number(shipped: HFGenerator, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"6 answers have a verdict on complies, 4 of either"):
        judge(shipped, written(tmp_path / "labels.jsonl", 2), judge={"held_share": 0.0})


def test_the_critics_own_labels_on_its_own_model_are_refused(shipped: HFGenerator, tmp_path: Path) -> None:
    labels = written(tmp_path / "labels.jsonl", 20)
    with pytest.raises(UserError, match="the judge would err as the critic does"):
        judge(shipped, labels, expert={"curated": str(labels)})
    judge(shipped, labels, expert={"curated": str(labels)}, judge={"model": "testbed-small"})
