"""Supervisors of one accuracy whose errors lie in different places, in a real study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superalign.errors import UserError
from superalign.weak_to_strong.base import WeakLabels
from superalign.weak_to_strong.methods.error_structures import STRUCTURES
from superalign.weak_to_strong.methods.label_transforms import transformed
from superalign.weak_to_strong.methods.registry import make_method
from superalign.weak_to_strong.methods.supervisors import supervised
from superalign.weak_to_strong.protocol import right
from superalign.weak_to_strong.split_context import Predictions, SplitContext
from superalign.weak_to_strong.study import Study, StudyWorker
from tests.weak_to_strong.parts import SPECS, STRONG, VIA, WEAK, settings, split_context

MOVED = [name for name in STRUCTURES if name not in ("weak", "imitable")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def errors(made: SplitContext, found: Predictions) -> tuple[int, int]:
    """How often the supervisor errs on half 2 and on the test rows."""
    e = made.experiment
    truths = (e.truth2.open("test"), e.truth_test.open("test"))
    half2, test = (int((1 - right(p, y)).sum()) for p, y in zip((found.half2, found.test), truths, strict=True))
    return half2, test


def predictions(found: object) -> Predictions:
    assert isinstance(found, Predictions)
    return found


@pytest.mark.parametrize("structure", MOVED)
def test_a_structure_has_exactly_the_real_number_of_errors_on_half_2_and_on_test(cache: Path, structure: str) -> None:
    made = split_context(cache)
    real = made.supervise(WEAK)
    _, found, labels, specs = supervised(made, SPECS, structure)
    assert errors(made, predictions(found)) == errors(made, real)
    assert min(errors(made, real)) > 0
    assert (predictions(found).half2.argmax(1) != real.half2.argmax(1)).any()
    assert (labels.probabilities == predictions(found).half2).all()
    assert specs == SPECS


@pytest.mark.parametrize("structure", list(STRUCTURES))
def test_a_structure_opens_the_truth_under_its_own_name_and_the_weak_models_errors_open_none(
    cache: Path, structure: str
) -> None:
    made = split_context(cache)
    supervised(made, SPECS, structure)
    opened = {f"supervisor:{structure}"} if structure in MOVED else set()
    assert made.experiment.opened_by() == opened


def test_a_method_under_a_structure_is_no_oracle(cache: Path) -> None:
    config = settings(method=("naive", "oracle_stop"), data={"limit": 240})
    trials = StudyWorker(config, str(cache)).run(Study("digits", "confident", WEAK, STRONG), 0)
    assert [trial.info["oracle"] for trial in trials] == [False, True]


def test_the_same_seed_moves_the_errors_to_the_same_rows(cache: Path) -> None:
    first, again = (supervised(split_context(cache), SPECS, "random")[2].probabilities for _ in range(2))
    assert (first == again).all()


def test_the_longest_rows_bear_the_errors(cache: Path) -> None:
    made = split_context(cache, "safety", 120)
    _, found, _, _ = supervised(made, ("words:20", "words:60"), "longest")
    e = made.experiment
    wrong = right(predictions(found).half2, e.truth2.open("test")) == 0
    assert isinstance(e.half2.inputs, tuple)
    lengths = np.array([len(text.prompt) + len(text.response) for text in e.half2.inputs])
    assert wrong.any() and lengths[wrong].min() >= lengths[~wrong].max()


def test_an_imitable_supervisors_label_stands_beside_the_students_own_features(cache: Path) -> None:
    given = split_context(cache)
    made, found, labels, specs = supervised(given, SPECS, "imitable")
    assert specs == (WEAK, "vectors:")
    own = given.untrained(STRONG)
    for rows, before, p in (
        (made.experiment.half2, given.experiment.half2, predictions(found).half2),
        (made.experiment.test, given.experiment.test, predictions(found).test),
    ):
        features = own.features(before)
        assert isinstance(rows.inputs, np.ndarray)
        assert rows.inputs[:, :-2] == pytest.approx(features, abs=1e-5)
        assert (rows.inputs[:, -2:].argmax(1) == p.argmax(1)).all()
    assert (labels.probabilities == given.supervise(WEAK).half2).all()


def test_a_student_that_sees_the_label_imitates_it(cache: Path) -> None:
    given = split_context(cache)
    made, found, labels, specs = supervised(given, SPECS, "imitable")
    weak = predictions(found)

    def agreement(of: SplitContext, spec: str) -> float:
        student, _ = of.train(spec, of.experiment.half2, labels)
        return float((student.predict(of.experiment.test).argmax(1) == weak.test.argmax(1)).mean())

    assert agreement(made, specs[1]) > agreement(given, STRONG)


@pytest.mark.parametrize("name", ["confidence", "calibrate", "ensemble", "agree", "bootstrap", "oracle_stop"])
def test_every_method_goes_with_a_student_that_sees_the_label(cache: Path, name: str) -> None:
    given = split_context(cache, via=VIA)
    made, found, labels, specs = supervised(given, SPECS, "imitable")
    method = make_method(name)
    changed = transformed(labels, method.labels, made, specs)
    student = method.train(made, changed, specs).outputs
    assert predictions(student).test.shape == predictions(found).test.shape


def test_what_a_supervisor_says_of_half_1_is_the_same_whatever_its_student_sees(cache: Path) -> None:
    given = split_context(cache)
    made, _, _, _ = supervised(given, SPECS, "imitable")
    assert np.array_equal(made.crossfit(WEAK), given.crossfit(WEAK), equal_nan=True)
    assert np.array_equal(made.supervise(WEAK, 0).test, given.supervise(WEAK, 0).test)


def test_an_unknown_structure_is_told_with_the_nearest(cache: Path) -> None:
    with pytest.raises(UserError, match=r"unknown w2s\.supervisor 'longst'; did you mean longest\? \(there is: weak,"):
        supervised(split_context(cache), SPECS, "longst")


@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "weak"])
def test_completions_have_no_other_errors_than_the_models_own(cache: Path, structure: str) -> None:
    with pytest.raises(UserError, match=f"w2s.supervisor={structure} flips classes: task=refusal has completions"):
        supervised(split_context(cache, "refusal", 60), ("lora:testbed-small", "lora:testbed"), structure)


def test_a_pair_has_no_class_to_append(cache: Path) -> None:
    with pytest.raises(UserError, match=r"w2s\.supervisor=imitable appends a class: task=pairs has none"):
        supervised(split_context(cache, "pairs", 60), ("words:20", "words:60"), "imitable")


def test_pairs_have_their_errors_moved_like_classes(cache: Path) -> None:
    made = split_context(cache, "pairs", 120)
    specs = ("words:20", "words:60")
    _, found, labels, _ = supervised(made, specs, "random")
    assert errors(made, predictions(found)) == errors(made, made.supervise(specs[0]))
    assert isinstance(labels, WeakLabels) and labels.provenance == ("words:20, errors random",)
