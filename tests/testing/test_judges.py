"""check_judge and check_suite pass what ships and plug-ins, and say what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.registry import JUDGES
from superalign.testing import check_judge, check_suite
from tests.testing.parts import changed, complaint, example

OUTCOMES = "[self._outcome(response.text) for _, response in cases]"
RATE = "clustered_rate(short, QUESTIONS, config.seed, config.evaluation.bootstrap)"


@pytest.mark.parametrize("name", JUDGES.builtin)
def test_every_judge_that_ships_passes(name: str) -> None:
    check_judge(name, {"labels": "demo"} if name == "probe" else {})


def test_a_judge_and_a_suite_of_ones_own_pass_with_their_settings() -> None:
    check_judge(example("judge"), {"words": 3})
    check_suite(example("suite"), {"words": 12})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"    exact = False\n": ""}, "it lacks exact"),
        ({"exact = False": 'exact = "no"'}, "has 'no' for exact, which is true or false"),
        ({'name = "keywords (no ground truth)"': 'name = ""'}, "has '' for a name"),
        ({OUTCOMES: OUTCOMES + "[1:]"}, "gives 15 outcomes for 16 cases"),
        ({'"refusal"': '"no"'}, "gives ['no'] for an outcome; there is: full, partial, refusal, garbled"),
        ({OUTCOMES: '["full" if n < 3 else "refusal" for n in range(len(cases))]'}, "come in another order"),
        ({OUTCOMES: "[cases[0][0].nope for _ in cases]"}, "outcomes(cases) raises AttributeError"),
    ],
)
def test_what_is_wrong_with_a_judge_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_judge, changed(tmp_path, "judge", changes))


PROBES = '''    def probes(self, queries, count, seed):
        """Answers known to be good."""
        from superalign.stats.labelled_set import Probe

        return [Probe(q.text, "no", q.category, 1.0, q.seed_id) for q in queries[:count]]

    def _outcome'''


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[:count]", "", "makes 8 probes where at most 6 are asked for"),
        ("1.0", "0.5", "calls a probe acceptable = 0.5, not 0 or 1"),
        ('"no"', "str(__import__('time').time_ns())", "makes other probes with the same seed"),
    ],
)
def test_probes_are_checked_where_there_are_any(tmp_path: Path, old: str, new: str, said: str) -> None:
    check_judge(changed(tmp_path, "judge", {"    def _outcome": PROBES}))
    (tmp_path / "wrong").mkdir()
    wrong = changed(tmp_path / "wrong", "judge", {"    def _outcome": PROBES.replace(old, new)})
    assert said in complaint(check_judge, wrong)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def run": "def go"}, "it lacks run(examined)"),
        ({f'return {{"short": {RATE}}}': "return {}"}, "gives no figures"),
        ({RATE: "0.5"}, "gives a float and no Estimate for short"),
        ({RATE: "Estimate(0.5, 0.6, 0.9, 4)"}, "gives short = 0.5 with the interval 0.6 to 0.9"),
        ({RATE: "Estimate(0.5, 0.2, 0.9, 0)"}, "gives short of n = 0 rows"),
        ({RATE: "Estimate(0.5, 0.2, 0.9, __import__('time').time_ns())"}, "gives other figures of the same learner"),
    ],
)
def test_what_is_wrong_with_a_suite_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_suite, changed(tmp_path, "suite", changes))
