"""check_task and check_method pass what ships and plug-ins, and say what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.registry import METHODS, TASKS
from superalign.testing import check_method, check_task
from tests.testing.parts import changed, complaint, example

pytestmark = pytest.mark.slow

OUTPUTS = "context.predict(student)"


@pytest.mark.parametrize("name", TASKS.builtin)
def test_every_task_that_ships_passes(name: str) -> None:
    check_task(name)


@pytest.mark.parametrize("name", METHODS.builtin)
def test_every_method_that_ships_passes(name: str) -> None:
    check_method(name, oracle=name == "oracle_stop")


def test_an_oracle_is_called_one() -> None:
    with pytest.raises(AssertionError, match=r"opens sealed labels \(as oracle_stop\): it is an oracle"):
        check_method("oracle_stop")


def test_a_task_and_a_method_of_ones_own_pass_with_their_settings() -> None:
    check_task(example("task"))
    check_method(example("method"), {"share": 0.4})


def test_a_task_is_checked_on_a_file_of_its_authors(tmp_path: Path) -> None:
    rows = [{"words": f"review {i}", "label": ("negative", "positive")[i % 2]} for i in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    check_task(example("task"), source=str(tmp_path / "rows.jsonl"), columns={"review": "words"})
    with pytest.raises(AssertionError, match="is refused"):
        check_task(example("task"), source=str(tmp_path / "rows.jsonl"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({'    name = "reviews"\n': ""}, "it lacks name"),
        (
            {'    name = "reviews"\n': '    name = "reviews"\n    kind = "rank"\n'},
            "is of kind 'rank'; there is: ",
        ),
        ({'random.Random(f"reviews/{seed}")': "random.SystemRandom()"}, "loads other rows of the same source"),
        (
            {"Text(text), label))\n        return": "Text(text), label + 1))\n        return"},
            "labels that are no positions",
        ),
        ({"range(n)": "range(20)"}, "load(source) is refused"),
    ],
)
def test_what_is_wrong_with_a_task_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_task, changed(tmp_path, "task", changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"def train": "def fit"}, "it lacks train(context, labels, specs)"),
        ({"class Softened(Method):": "class Softened(Method):\n    kinds = ()"}, "is for no kind of task"),
        ({"return Trained(": "return tuple, ("}, "gives a tuple and no Trained"),
        ({OUTPUTS: f"replace({OUTPUTS}, half2={OUTPUTS}.half2[1:])"}, "outputs for"),
        ({OUTPUTS: f"replace({OUTPUTS}, test={OUTPUTS}.test * 2)"}, "that do not sum to 1 over the classes"),
        (
            {"+ self.share": "+ __import__('random').SystemRandom().random() * self.share"},
            "trains another student",
        ),
        (
            {"        p = labels": "        context.experiment.truth2.open('mine')\n        p = labels"},
            "opens sealed labels (as mine): it is an oracle",
        ),
        ({"context.experiment.half2, softer": "context.experiment.half3, softer"}, "raises AttributeError"),
    ],
)
def test_what_is_wrong_with_a_method_is_one_sentence(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert said in complaint(check_method, changed(tmp_path, "method", changes))
