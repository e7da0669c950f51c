"""check_recipe passes what ships and a plug-in's recipe, and says what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.testing import check_recipe
from tests.testing.parts import changed, complaint, example

STUDY = ("task=digits", "method=naive", "weak=pixels:2", "strong=centroids:20")


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        *((name, ()) for name in ("selfplay", "redteam", "self_refine", "critic", "reward_model")),
        ("weak_to_strong", STUDY),
    ],
)
def test_every_recipe_that_ships_passes(name: str, overrides: tuple[str, ...]) -> None:
    check_recipe(name, overrides)


def test_a_recipe_of_ones_own_passes_with_plug_ins_in_it() -> None:
    check_recipe(example("recipe"), [f"critic={example('critic')}", f"attacker={example('attacker')}"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def main": "def run"}, "it lacks main(config)"),
        ({"return finish(run, run.first_and_last())": "return 4"}, "returns 4 from main(config) and not 0"),
        ({"return finish(run,": "return 3 - finish(run,"}, "from main(config) of a run that learned"),
        ({"                now = play(": "                now = nope("}, "main(config) raises NameError"),
        ({"return finish(run, run.first_and_last())": "return 0"}, "writes no summary.json"),
        ({"finish(run, run.first_and_last())": "finish(run, {})"}, "has no figure with an interval"),
        (
            {"        if run is None:\n            return 0": "        if run is None:\n            return 1"},
            "of a complete",
        ),
    ],
)
def test_what_is_wrong_with_a_recipe_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_recipe, changed(tmp_path, "recipe", changes))
