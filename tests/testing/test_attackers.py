"""check_attacker and check_family pass what ships and plug-ins, and say what is wrong with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.registry import ATTACKERS, FAMILIES
from superalign.testing import check_attacker, check_family
from tests.testing.parts import changed, complaint, example

QUERY = 'Query(identity, s.id, text, s.kind, s.category, name, "attacker", round)'


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, {}) for name in ATTACKERS.builtin if name != "file"),
        ("trained", {"algorithm": "grpo"}),
        ("trained", {"league": True}),
    ],
)
def test_every_attacker_that_ships_passes(name: str, given: dict[str, Any]) -> None:
    check_attacker(name, given)


@pytest.mark.parametrize("name", FAMILIES.builtin)
def test_every_attack_family_that_ships_passes(name: str) -> None:
    check_family(name)


def test_an_attacker_and_a_family_of_ones_own_pass_with_their_settings() -> None:
    check_attacker(example("attacker"), {"attempts": 3})
    check_family(example("family"), {"greeting": "hey"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def learn": "def study"}, "it lacks learn(feedback, seed)"),
        ({"return self.rewrite(seeds, round, seed)": "return []"}, "attacks with no query at all"),
        ({QUERY: QUERY.replace("identity", "s.id", 1)}, "gives from attack two queries of one id"),
        ({QUERY: QUERY.replace("text", '" "')}, "gives from attack a query without text"),
        ({QUERY: QUERY.replace("s.id", "name")}, "no seed has"),
        (
            {QUERY: QUERY.replace("s.kind", '"harmful"')},
            "a query of kind 'harmful' to a seed of kind",
        ),
        ({QUERY: QUERY.replace("s.category", '"none"')}, "of another category than its seed's"),
        ({QUERY: QUERY.replace("round)", "round + 1)")}, "gives from attack a query of round 2 in round 1"),
        ({QUERY: QUERY.replace('"attacker"', '"static"')}, "from rewrite a query of the source 'static'"),
        ({'random.Random(f"{round}/{seed}")': "random.SystemRandom()"}, "attacks otherwise with the same seed"),
        ({"return dict(self.worked)": "return {'worked': self.worked}"}, "the figure 'worked' = "),
        ({'dict(state["worked"])': "dict(self.worked, scene=1e9)"}, "attacks otherwise after restore(state())"),
        ({'{"worked": self.worked}': '{"worked": self}'}, "keeping state() as JSON raises TypeError"),
    ],
)
def test_what_is_wrong_with_an_attacker_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_attacker, changed(tmp_path, "attacker", changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def wrap(self, text: str, rng: random.Random)": "def wrap(self, text: str)"}, "it lacks wrap(text, rng)"),
        ({"settings: LetterSettings": "settings: LetterSettings, tone: str"}, "cannot be made as Letter(settings)"),
        ({"rng.choice(('max": "random.choice(('max"}, "draws otherwise than by the rng that it is given"),
        ({'f"{self.greeting}, {text}': '"" if text else f"{self.greeting}, {text}'}, "makes '' of 'hi'"),
        (
            {'f"{self.greeting}, {text}': 'text if text else f"{self.greeting}, {text}'},
            "gives every text back",
        ),
        ({'f"{self.greeting}, {text}': 'f"{text.split()[2]}, {text}'}, "wrap('hi', rng) raises IndexError"),
    ],
)
def test_what_is_wrong_with_a_family_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_family, changed(tmp_path, "family", changes))
