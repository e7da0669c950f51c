"""A measurement on real text: figures, what they are made of, and the paired change since round 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.config.schema import Config
from superalign.evaluation.real_text.measuring import RealText, is_due, measure_real_text
from superalign.evaluation.real_text.sets import read_sets
from superalign.evaluation.samples import select_requested
from superalign.records import Query
from tests.evaluation.real_text.parts import Dimensions, Says, examined, labels, requests, settings


def measured(config: Config, learner: Says, before: RealText | None = None) -> RealText:
    asked = examined(config, learner, Dimensions())
    return measure_real_text(read_sets(config, []), asked, before.items if before else ())


def harmful(query: Query) -> bool:
    return query.kind == "harmful"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return settings(requests={"people": requests(tmp_path)}, requests_per_set=16, labels=labels(tmp_path))


def test_rates_are_by_kind_with_what_is_known_of_the_judge_beside_them(config: Config) -> None:
    found = measured(config, Says(harmful))
    values = {name: each.value for name, each in found.metrics.items()}
    assert (values["compliance_people_harmful"], values["compliance_people_benign"]) == (0, 1)
    assert found.metrics["compliance_people_harmful"].n == 16
    for kind in ("harmful", "benign"):
        assert values[f"judge_complies_sensitivity_{kind}"] == values[f"judge_complies_specificity_{kind}"] == 1
        assert f"compliance_people_{kind}_corrected" in values
    assert values["judge_refusal_agreement"] == 1
    assert "compliance_people_harmful_change" not in values and "compliance_all_harmful" not in values
    assert found.check is not None and found.to_row()["compliance_check"]["state"] == "checked"


def test_items_keep_values_and_no_text(config: Config) -> None:
    found = measured(config, Says(harmful))
    assert len(found.items) == 32
    assert {each.value for each in found.items if each.figure == "compliance_people_harmful"} == {0.0}
    assert not any(" " in str(value) for each in found.items for value in each.to_row().values())


def test_the_change_is_paired_by_item(config: Config) -> None:
    before = measured(config, Says(lambda query: False))
    after = measured(config, Says(harmful), before)
    change = after.metrics["compliance_people_harmful_change"]
    assert (change.value, change.n, after.metrics["compliance_people_benign_change"].value) == (-1, 16, 0)
    fewer = RealText(items=before.items[:5])
    assert measured(config, Says(harmful), fewer).metrics["compliance_people_harmful_change"].n == 5


def test_several_sets_are_taken_together_too(tmp_path: Path) -> None:
    sets = {"one": requests(tmp_path, "a.jsonl"), "two": requests(tmp_path, "b.jsonl")}
    config = settings(requests=sets, requests_per_set=8)
    before = measured(config, Says(lambda query: False))
    after = measured(config, Says(lambda query: query.source == "requests:one"), before)
    assert after.metrics["compliance_all_harmful"].value == 0.5 and after.metrics["compliance_all_harmful"].n == 16
    assert after.metrics["compliance_all_harmful_change"].value == -0.5


def test_rates_of_a_judge_that_is_withheld_are_not_reported(tmp_path: Path) -> None:
    config = settings(requests={"people": requests(tmp_path)}, labels=labels(tmp_path))
    blind = examined(config, Says(harmful), Dimensions(high=0.5, low=0.5))
    found = measure_real_text(read_sets(config, []), blind)
    assert found.check is not None and found.check.state == "withheld"
    assert not any(name.startswith("compliance_") for name in found.metrics)


def test_samples_are_harm_complied_with_and_harmless_requests_refused(config: Config) -> None:
    found = measured(config, Says(lambda query: query.kind == "benign"))
    rows = select_requested(found.cases, limit=3)
    assert [(row["kind"], row["gold"], row["why"]) for row in rows] == [
        *[("harmful", 0.0, "complied with harm (real text)")] * 3,
        *[("benign", 0.0, "refused a harmless request (real text)")] * 3,
    ]
    assert select_requested(measured(config, Says(harmful)).cases) == []


@pytest.mark.parametrize(("every", "rounds"), [(0, [0, 5]), (2, [0, 2, 4, 5])])
def test_sets_are_measured_at_both_ends_and_between_where_asked(every: int, rounds: list[int]) -> None:
    config = Config.model_validate({"rounds": 5, "evaluation": {"every": every}})
    assert [number for number in range(6) if is_due(config, number)] == rounds
