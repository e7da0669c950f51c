"""check_critic passes what ships and a plug-in's critic, and says what is wrong with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.registry import CRITICS
from superalign.testing import check_critic
from tests.testing.parts import changed, complaint, example

SCORES = "return [Score({ACCEPTABLE: float(x)}) for x in np.clip(odds, -LIMIT, LIMIT)]"
RANDOM = '__import__("random").SystemRandom().random()'


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, {}) for name in CRITICS.builtin),
        ("generative", {"variance": "ensemble"}),
        ("generative", {"stages": 2}),
    ],
)
def test_every_critic_that_ships_passes(name: str, given: dict[str, Any]) -> None:
    check_critic(name, given)


def test_a_critic_of_ones_own_passes_with_its_settings() -> None:
    check_critic(example("critic"), {"strength": 3})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def score_pairs": "def score_couples"}, "it lacks score_pairs(pairs)"),
        ({"settings: WordsSettings, services: Services": "settings: WordsSettings"}, "it lacks __init__(settings, "),
        (
            {"        if not texts:\n            return []\n": "        assert texts\n"},
            "score_points(points) fails",
        ),
        ({SCORES: SCORES + "[1:]"}, "gives 15 scores for 16 points"),
        ({SCORES: SCORES.replace("Score({ACCEPTABLE: float(x)})", "x")}, "gives a float64 and no Score"),
        ({SCORES: SCORES.replace("ACCEPTABLE", "'helpful'")}, "scores helpful, but not acceptable"),
        ({SCORES: SCORES.replace("float(x)", "float('nan')")}, "gives log-odds that are not finite"),
        ({SCORES: SCORES.replace("float(x)", f"float(x) + {RANDOM}")}, "scores the same texts otherwise"),
        ({SCORES: SCORES.replace("float(x)", "float(x - odds.mean())")}, "otherwise when it is asked about alone"),
        ({"Score({ACCEPTABLE: x}) for x in diff": "Score({ACCEPTABLE: x + 1}) for x in diff"}, "the opposite score"),
        ({"def restore": "def take_up"}, "has learn, state, but lacks restore(state)"),
        ({'return {"labels": float': 'return {"labels": str'}, "the figure 'labels' = "),
        ({'{"texts": self.texts,': '{"texts": set(self.texts),'}, "keeping state() as JSON raises TypeError"),
        ({'list(state["labels"])': "[]"}, "scores otherwise after restore(state())"),
    ],
)
def test_what_is_wrong_with_a_critic_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_critic, changed(tmp_path, "critic", changes))


CRITIQUE = '''    def critique(self, points, acceptable, seed, faults=()):
        """Words on each answer."""
        return ["It is long." for _ in points]

'''


def test_critiques_are_checked_where_there_are_any(tmp_path: Path) -> None:
    before = "    def _fit(self)"
    check_critic(changed(tmp_path, "critic", {before: CRITIQUE + before}))
    (tmp_path / "few").mkdir()
    few = changed(tmp_path / "few", "critic", {before: CRITIQUE.replace("in points", "in points[1:]") + before})
    assert "writes 15 critiques of 16 answers" in complaint(check_critic, few)
