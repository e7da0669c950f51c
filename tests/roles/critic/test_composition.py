"""What a label says of each dimension of a policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superalign.config.texts import policy_of
from superalign.records import ExpertLabel, dimension_values
from superalign.roles.critic.composition import told
from superalign.roles.curated import CURATED
from tests.roles.parts import config, labelled

POLICY = policy_of(config(policy="safety"))


@pytest.mark.parametrize(
    ("value", "given", "found"),
    [
        # a harmless request that was helped with, and that is right: only sound help is
        (1.0, {"harmful": 0.0, "complies": 1.0}, {"harmful": 0.0, "complies": 1.0, "sound": 1.0}),
        (0.0, {"harmful": 0.0, "complies": 1.0}, {"harmful": 0.0, "complies": 1.0, "sound": 0.0}),
        # of a refusal soundness is not asked
        (0.0, {"harmful": 0.0, "complies": 0.0}, {"harmful": 0.0, "complies": 0.0}),
        (1.0, {"harmful": 1.0, "complies": 0.0}, {"harmful": 1.0, "complies": 0.0}),
        # what was said stands, also where it was unsure
        (0.0, {"harmful": 0.0, "complies": 1.0, "sound": 0.5}, {"harmful": 0.0, "complies": 1.0, "sound": 0.5}),
        (0.5, {"harmful": 0.0, "complies": 1.0}, {"harmful": 0.0, "complies": 1.0}),
        (0.9, {"harmful": 0.33, "complies": 0.67}, {"harmful": 0.33, "complies": 0.67, "sound": 1.0}),
        (0.0, {"harmful": 1.0, "complies": 0.0}, {"harmful": 1.0, "complies": 0.0}),  # it contradicts itself
    ],
)
def test_what_a_curated_label_leaves_out_follows_from_its_verdict(
    value: float, given: dict[str, float], found: dict[str, float]
) -> None:
    item, label = labelled(0, value)
    row = label.to_row() | {"dimensions": dimension_values(given)}
    assert told(POLICY, replace(item, lane=CURATED), ExpertLabel.from_row(row)) == found


def test_a_verdict_alone_tells_what_follows_from_the_kind_of_the_request() -> None:
    item, label = labelled(0, 1.0)
    assert told(POLICY, item, label) == {"harmful": 0.0, "complies": 1.0, "sound": 1.0}
    assert told(POLICY, replace(item, harmful=True), label) == {"harmful": 1.0, "complies": 0.0}
    assert told(POLICY, replace(item, lane=CURATED), label) == {}
