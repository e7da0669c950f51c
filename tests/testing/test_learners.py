"""check_learner passes what ships and a plug-in's algorithm, and says what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.registry import LEARNERS
from superalign.testing import check_learner
from tests.testing.parts import changed, complaint, example

RANDOM = '__import__("random").SystemRandom()'


@pytest.mark.parametrize("name", LEARNERS.builtin)
def test_every_algorithm_that_ships_passes(name: str) -> None:
    check_learner(name)


def test_an_algorithm_of_ones_own_passes_with_its_settings() -> None:
    check_learner(example("learner"), {"tau": 0.3})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def rows(": "def row("}, "it lacks rows(batch)"),
        ({"    @classmethod\n    def trainer": "    def trainer"}, "it lacks classmethod trainer(setup)"),
        ({"for p in chosen": "for p in chosen[:0]"}, "makes no rows of 24 preferences, though learns_from is 'pairs'"),
        ({"for p in chosen": f"for p in {RANDOM}.sample(chosen, 9)"}, "makes other rows of the same batch"),
        ({"        return [\n": "        assert chosen\n        return [\n"}, "rows() of a batch without labels fails"),
        ({"list(p.chosen_ids)": "p.chosen"}, "makes a row whose chosen_ids is"),
        (
            {'"w": p.w,': '"w": ONE,', "class SLiC(": "ONE = lambda: 1\n\n\nclass SLiC("},
            "sending its rows to the ",
        ),
        ({"    return total,": "    return total.nope,"}, "a phase of training raises AttributeError"),
        ({"    return total,": "    return total * torch.nan,"}, "= nan, which is no finite number"),
        ({"    return total,": "    return total * 0,"}, "changes no weight in a phase of training"),
        ({"    return total,": f"    return total * {RANDOM}.random(),"}, "trains other weights with the same seed"),
    ],
)
def test_what_is_wrong_with_an_algorithm_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_learner, changed(tmp_path, "learner", changes))


MEMORY = '''

    @classmethod
    def state(cls, trainer, setup):
        """How many phases there were, halved each time it is written."""
        return {"phases": (setup.state or {"phases": 0})["phases"] + 1}
'''


def test_what_is_kept_between_phases_is_told_by_state_alone(tmp_path: Path) -> None:
    scaled = {
        "    @classmethod\n    def trainer": MEMORY.removeprefix("\n\n") + "\n    @classmethod\n    def trainer",
        "    return total,": '    return total * (1 + (setup.state or {"phases": 0})["phases"]),',
    }
    check_learner(changed(tmp_path, "learner", scaled))
    forgetting = {**scaled, "(setup.state or": "(PHASES.get(id(setup.common['optimizers'][0])) or"}
    forgetting["    @classmethod\n    def trainer"] = (
        "    @classmethod\n    def state(cls, trainer, setup):\n"
        "        PHASES[id(setup.common['optimizers'][0])] = {'phases': 1}\n\n    @classmethod\n    def trainer"
    )
    (tmp_path / "other").mkdir()
    code = {**forgetting, "class SLiC(": "PHASES = {}\n\n\nclass SLiC("}
    assert "must be in state()" in complaint(check_learner, changed(tmp_path / "other", "learner", code))


def test_settings_that_are_wrong_are_told(tmp_path: Path) -> None:
    assert "learner.tau" in complaint(check_learner, example("learner"), {"tau": -1})


def test_a_class_is_found_by_its_module() -> None:
    class Inner:
        """A class that no other process can find."""

    with pytest.raises(AssertionError, match="is no class at the top of a module"):
        check_learner(Inner)
