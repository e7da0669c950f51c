"""How a student learns from weak labels, and who is an oracle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superalign.errors import UserError
from superalign.registry import METHODS
from superalign.weak_to_strong.base import WeakLabels
from superalign.weak_to_strong.methods.builtin import models_between
from superalign.weak_to_strong.methods.label_transforms import transformed
from superalign.weak_to_strong.methods.registry import Trained, make_method
from superalign.weak_to_strong.metrics.scorer import Columns
from superalign.weak_to_strong.models.features import _probe
from superalign.weak_to_strong.protocol import right
from superalign.weak_to_strong.split_context import Predictions, SplitContext
from superalign.weak_to_strong.study import Study, StudyWorker, Trial
from superalign.weak_to_strong.tasks.registry import load_task
from tests.weak_to_strong.parts import SPECS, STRONG, VIA, WEAK, settings, split_context

TEXTS = ("critic", "debate")
CLASSIFY = [name for name in METHODS.builtin if "classify" in make_method(name).kinds]
ON_DIGITS = [name for name in CLASSIFY if name not in TEXTS]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def digits(cache: Path) -> SplitContext:
    return split_context(cache, via=VIA)


def trained(made: SplitContext, name: str) -> Trained:
    method = make_method(name)
    labels = transformed(WeakLabels.of(made.supervise(WEAK).half2, WEAK), method.labels, made, SPECS)
    return method.train(made, labels, SPECS)


def predictions(of: Trained) -> Predictions:
    assert isinstance(of.outputs, Predictions)
    return of.outputs


@pytest.fixture(scope="module")
def trials(cache: Path) -> dict[str, Trial]:
    """Every method that digits can have, on one split."""
    config = settings(method=(*ON_DIGITS, "dpo"), data={"limit": 240}, via=VIA)
    study = Study("digits", "weak", WEAK, STRONG)
    return {trial.info["method"]: trial for trial in StudyWorker(config, str(cache)).run(study, 0)}


@pytest.mark.parametrize("name", list(METHODS.builtin))
def test_every_built_in_method_is_one_and_suits_some_kind_of_task(name: str) -> None:
    method = make_method(name)
    assert METHODS.names()[name] and method.kinds and set(method.kinds) <= {"classify", "pairs", "generate"}


def test_every_method_of_classes_runs_and_methods_of_pairs_are_passed_over(trials: dict[str, Trial]) -> None:
    assert list(trials) == ON_DIGITS
    for trial in trials.values():
        (test,) = trial.columns
        assert set(test["student_score"]) <= {0.0, 1.0}
        assert ((test["student_p"] >= 0) & (test["student_p"] <= 1)).all()


def test_only_a_method_that_opens_the_truth_is_an_oracle(trials: dict[str, Trial]) -> None:
    assert {name for name, trial in trials.items() if trial.info["oracle"]} == {"oracle_stop"}


PEEKING = """
from superalign.weak_to_strong.methods.registry import Method, Trained

class Peeking(Method):
    def train(self, context, labels, specs):
        {peek}
        student, history = context.train(specs[1], context.experiment.half2, labels)
        return Trained(context.predict(student), history, student)
"""


@pytest.mark.parametrize(
    ("peek", "oracle"),
    [
        ("pass", False),
        ("context.experiment.truth2.open('scorer')", True),
        ("context.experiment.truth_test.open('ceiling')", True),
        ("context.experiment.truth2.open('x'); context.experiment.truth2.opened_by.clear()", True),
        ("context.ceiling(specs[1])", True),
    ],
    ids=["none", "as the scorer", "as the ceiling", "and wipes the name out", "the ceiling's outputs"],
)
def test_a_method_that_reaches_the_truth_in_training_is_an_oracle_under_whatever_name(
    cache: Path, tmp_path: Path, peek: str, oracle: bool
) -> None:
    (tmp_path / "peeking.py").write_text(PEEKING.format(peek=peek))
    config = settings(method=("naive", f"{tmp_path}/peeking.py:Peeking"), data={"limit": 240}, via=VIA)
    trials = StudyWorker(config, str(cache)).run(Study("digits", "weak", WEAK, STRONG), 0)  # naive fills the cache
    assert [trial.info["oracle"] for trial in trials] == [False, oracle]


def test_supervisor_and_ceiling_are_the_same_for_every_method_of_a_study(trials: dict[str, Trial]) -> None:
    first = trials["naive"].columns[0]
    for trial in trials.values():
        for name in ("id", "cluster", "truth", "weak_p", "ceiling_p"):
            assert (trial.columns[0][name] == first[name]).all()


def test_a_trial_tells_the_transforms_that_came_before_the_training(trials: dict[str, Trial]) -> None:
    assert trials["naive"].info["labels"] == ""
    assert trials["filter"].info["labels"] == "filter"


def test_a_curve_goes_over_the_whole_training_and_ends_with_the_students_accuracy(trials: dict[str, Trial]) -> None:
    curve, (test,) = trials["naive"].info["curve"], trials["naive"].columns
    assert curve["progress"][-1] == 1 and sorted(curve["progress"]) == curve["progress"]
    assert len({len(curve[name]) for name in ("progress", "accuracy", "right", "wrong")}) == 1
    assert curve["accuracy"][-1] == pytest.approx(test["student_score"].mean())


def test_transforms_of_the_settings_come_before_those_of_the_method(cache: Path) -> None:
    config = settings(method=("filter",), data={"limit": 240}, labels="harden")
    (trial,) = StudyWorker(config, str(cache)).run(Study("digits", "weak", WEAK, STRONG), 0)
    assert trial.info["labels"] == "harden+filter"


def test_a_method_named_twice_is_run_once(cache: Path) -> None:
    config = settings(method=("naive", "naive"), data={"limit": 240})
    assert len(StudyWorker(config, str(cache)).run(Study("digits", "weak", WEAK, STRONG), 0)) == 1


def same(a: Columns, b: Columns) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_seed_gives_the_same_scores_without_any_cache_and_another_seed_others(tmp_path: Path) -> None:
    config = settings(method=("naive", "confidence", "bootstrap"), data={"limit": 160}, via=VIA)
    study = Study("digits", "weak", WEAK, STRONG)
    first, again, other = (
        StudyWorker(config, str(tmp_path / folder)).run(study, number)
        for folder, number in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(same(x.columns[0], y.columns[0]) for x, y in zip(first, again, strict=True))
    assert not any(same(x.columns[0], y.columns[0]) for x, y in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["confidence", "product", "filter", "harden", "ensemble", "bootstrap"])
def test_a_method_does_something_else_than_naive_finetuning(digits: SplitContext, name: str) -> None:
    assert not np.array_equal(predictions(trained(digits, name)).test, predictions(trained(digits, "naive")).test)


def test_bootstrapping_trains_each_model_between_on_the_labels_of_the_one_before(digits: SplitContext) -> None:
    half2 = digits.experiment.half2
    labels = WeakLabels.of(digits.supervise(WEAK).half2, WEAK)
    for between in VIA:
        labels = replace(labels, probabilities=digits.train(between, half2, labels)[0].predict(half2))
    expected = digits.train(STRONG, half2, labels)[0].predict(half2)
    assert np.array_equal(predictions(trained(digits, "bootstrap")).half2, expected)


def test_bootstrapping_without_models_between_is_refused() -> None:
    digits, refusal = (load_task(name, limit=60) for name in ("digits", "refusal"))
    assert models_between(settings(via=VIA), digits) == VIA
    assert models_between(settings(), digits) == ("centroids:30", "centroids:100")
    with pytest.raises(UserError, match=r"method=bootstrap has no models between for task=refusal"):
        models_between(settings(), refusal)


def test_an_oracle_is_at_least_as_right_on_half_2_as_the_whole_training(digits: SplitContext) -> None:
    truth = digits.experiment.truth2.open("test")
    best, whole = (right(predictions(trained(digits, name)).half2, truth).mean() for name in ("oracle_stop", "naive"))
    assert best >= whole


def test_a_shorter_training_is_another_student(digits: SplitContext) -> None:
    assert digits.with_epochs(1).settings(STRONG).epochs == 1
    short, whole = (trained(each, "naive") for each in (digits.with_epochs(1), digits))
    assert len(short.history.loss) < len(whole.history.loss)


def test_the_confidence_loss_is_told_the_accuracy_that_half_1_shows_and_no_sealed_label(cache: Path) -> None:
    made = split_context(cache, seed=5)
    trained(made, "confidence")
    assert made.experiment.opened_by() == set()
    p = made.crossfit(WEAK)
    assert made.expected_accuracy(WEAK) == pytest.approx(right(p, made.experiment.labels1).mean())


def test_supervisors_and_ceilings_are_trained_once_for_all_methods_and_runs(cache: Path, digits: SplitContext) -> None:
    digits.ceiling(STRONG)
    digits.supervise(WEAK)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")}
    again = split_context(cache, via=VIA)
    assert np.array_equal(again.ceiling(STRONG).test, digits.ceiling(STRONG).test)
    assert np.array_equal(again.supervise(WEAK).test, digits.supervise(WEAK).test)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")} == before


def test_a_ceiling_opens_the_truth_of_half_2_alone_and_under_its_name(tmp_path: Path) -> None:
    made = split_context(tmp_path)
    made.ceiling(STRONG)
    assert made.experiment.truth2.opened_by == ["ceiling"]
    assert made.experiment.opened_by() == {"ceiling"}


def test_other_settings_other_splits_and_other_rows_are_never_read_from_the_cache(
    digits: SplitContext, cache: Path
) -> None:
    key = digits.key(STRONG)
    others = (
        split_context(cache, via=VIA, epochs=3).key(STRONG),
        split_context(cache, via=VIA, seed=1).key(STRONG),
        split_context(cache, via=VIA, limit=160).key(STRONG),
        digits.key(WEAK),
    )
    assert all(other != key for other in others)


def test_what_a_probe_says_of_attacked_rows_does_not_depend_on_the_splits_before(tmp_path: Path) -> None:
    def of_split_1(folder: str, *before: int) -> Predictions:
        _probe.cache_clear()  # as in a fresh process
        for seed in (*before, 1):
            made = split_context(tmp_path / folder, "safety", 120, seed=seed)
            found = made.supervise("probe:testbed-small")
        return found

    alone, after = of_split_1("a"), of_split_1("b", 0)
    assert alone.attacked is not None and np.array_equal(alone.attacked, after.attacked)


def test_a_model_that_has_changed_in_its_folder_is_another_one_to_the_cache(tiny_model: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    made = split_context(tmp_path / "cache", "safety", 60)
    keys = [made.key(f"{kind}:{folder}") for kind in ("probe", "lora", "full")]
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1] + b"x")
    assert all(made.key(str(key["spec"])) != key for key in keys)
