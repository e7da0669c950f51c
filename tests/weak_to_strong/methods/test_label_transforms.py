"""What can be done to weak labels before a student learns from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from superalign.errors import UserError
from superalign.weak_to_strong.base import Floats, Ints, WeakLabels
from superalign.weak_to_strong.methods.critic_and_debate import _debated, _log_odds
from superalign.weak_to_strong.methods.label_transforms import TRANSFORMS, check, parse, transformed
from superalign.weak_to_strong.protocol import folds, right
from superalign.weak_to_strong.split_context import SplitContext
from tests.weak_to_strong.parts import SPECS, STRONG, WEAK, split_context

MODEL = "testbed-small"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the module: what is trained once is read by the others."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def digits(cache: Path) -> SplitContext:
    return split_context(cache)


@pytest.fixture(scope="module")
def weak(digits: SplitContext) -> WeakLabels:
    return WeakLabels.of(digits.supervise(WEAK).half2, WEAK)


@pytest.fixture(scope="module")
def safety(cache: Path) -> SplitContext:
    return split_context(cache, "safety", 80, model=MODEL)


def weak_labels(safety: SplitContext) -> WeakLabels:
    return WeakLabels.of(safety.supervise("words:30").half2, "words:30")


def nll(p: Floats, truth: Ints) -> float:
    return float(-np.log(p[np.arange(len(truth)), truth] + 1e-9).mean())


def are_probabilities(p: Floats) -> bool:
    return bool((p >= 0).all() and np.allclose(p.sum(1), 1))


def test_calibration_makes_held_out_rows_likelier_and_moves_no_class(cache: Path) -> None:
    overfitted = split_context(cache, limit=160, epochs=200, learning_rate=0.05)  # and so surer than it is right
    labels = WeakLabels.of(overfitted.supervise("pixels:8").half2, "pixels:8")
    mended = transformed(labels, "calibrate", overfitted, ("pixels:8", STRONG))
    truth = overfitted.experiment.truth2.open("test")
    assert nll(mended.probabilities, truth) < nll(labels.probabilities, truth) - 0.1
    assert mended.confidence.mean() < labels.confidence.mean()
    assert (mended.hard == labels.hard).all()
    assert are_probabilities(mended.probabilities)


def test_an_ensemble_is_the_mean_of_the_supervisor_and_of_different_bagged_ones(
    digits: SplitContext, weak: WeakLabels
) -> None:
    made = transformed(weak, "ensemble:3", digits, SPECS)
    bags = [digits.supervise(WEAK, bag).half2 for bag in (0, 1)]
    assert made.probabilities == pytest.approx((weak.probabilities + bags[0] + bags[1]) / 3)
    assert not np.allclose(bags[0], bags[1]) and not np.allclose(bags[0], weak.probabilities)
    assert transformed(weak, "ensemble:1", digits, SPECS).probabilities == pytest.approx(weak.probabilities)


def test_an_ensemble_takes_five_where_no_number_is_given(digits: SplitContext, weak: WeakLabels) -> None:
    five, none = (transformed(weak, text, digits, SPECS).probabilities for text in ("ensemble:5", "ensemble"))
    assert (five == none).all()


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_filter_keeps_the_share_of_each_class_that_is_most_confident(
    digits: SplitContext, weak: WeakLabels, share: float
) -> None:
    made = transformed(weak, f"filter:{share}", digits, SPECS)
    for cls in (0, 1):
        mine = weak.hard == cls
        kept = mine & (made.weights > 0)
        assert kept.sum() == round(share * mine.sum())
        dropped = weak.confidence[mine & ~kept]
        assert not len(dropped) or weak.confidence[kept].min() >= dropped.max()
    assert (made.probabilities == weak.probabilities).all()


def test_a_filter_keeps_one_row_of_a_class_however_small_the_share(digits: SplitContext, weak: WeakLabels) -> None:
    made = transformed(weak, "filter:0.001", digits, SPECS)
    assert sorted(made.hard[made.weights > 0]) == [0, 1]


def test_agreement_keeps_the_rows_where_a_student_of_the_other_fold_says_the_same(
    digits: SplitContext, weak: WeakLabels
) -> None:
    made = transformed(weak, "agree", digits, SPECS)
    half2 = digits.experiment.half2
    for train, heldout in folds(half2.groups, 2, digits.seed):
        labels = WeakLabels(weak.probabilities[train], weak.weights[train], weak.provenance)
        student = digits.train(STRONG, half2.take(train), labels)[0]
        agrees = student.predict(half2.take(heldout)).argmax(1) == weak.hard[heldout]
        assert (made.weights[heldout] == agrees).all()
    assert 0 < made.weights.mean() < 1


def test_rows_that_a_student_confirms_are_more_often_right(digits: SplitContext, weak: WeakLabels) -> None:
    kept = transformed(weak, "agree", digits, SPECS).weights > 0
    correct = right(weak.probabilities, digits.experiment.truth2.open("test"))
    assert correct[kept].mean() > correct[~kept].mean()


def test_the_weight_of_two_classes_is_twice_the_distance_from_a_half(digits: SplitContext, weak: WeakLabels) -> None:
    made = transformed(weak, "reweight", digits, SPECS)
    assert made.weights == pytest.approx(2 * np.abs(weak.probabilities[:, 1] - 0.5))


def test_the_weight_of_k_classes_is_1_for_a_certain_label_and_0_for_a_uniform_one(cache: Path) -> None:
    several = split_context(cache, "nli", 120)
    p = np.full((len(several.experiment.half2), 3), 1 / 3)
    p[0], p[1] = (0, 1, 0), (0.2, 0.2, 0.6)
    made = transformed(WeakLabels.of(p, "made"), "reweight", several, SPECS)
    assert made.weights[:3] == pytest.approx([1, (3 * 0.6 - 1) / 2, 0])


def test_hardened_labels_are_certain_of_what_was_likeliest(digits: SplitContext, weak: WeakLabels) -> None:
    made = transformed(weak, "harden", digits, SPECS)
    assert set(np.unique(made.probabilities)) == {0, 1}
    assert (made.hard == weak.hard).all()


def test_transforms_apply_in_the_order_written_and_each_adds_itself_to_the_provenance(
    digits: SplitContext, weak: WeakLabels
) -> None:
    first = transformed(weak, "harden+reweight", digits, SPECS)
    other = transformed(weak, "reweight+harden", digits, SPECS)
    assert first.provenance == (WEAK, "harden", "reweight")
    assert other.provenance == (WEAK, "reweight", "harden")
    assert (first.weights == 1).all() and (other.weights < 1).any()
    assert (first.probabilities == other.probabilities).all()


def test_weights_of_several_transforms_multiply(digits: SplitContext, weak: WeakLabels) -> None:
    both = transformed(weak, "reweight+filter:0.5", digits, SPECS).weights
    apart = [transformed(weak, text, digits, SPECS).weights for text in ("reweight", "filter:0.5")]
    assert both == pytest.approx(apart[0] * apart[1])


def test_no_transform_leaves_the_labels_as_they_are(digits: SplitContext, weak: WeakLabels) -> None:
    assert transformed(weak, "", digits, SPECS) is weak


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filtr:0.5", r"no transform 'filtr'; did you mean filter\?"),
        ("calibrate+hardn", r"no transform 'hardn'; did you mean harden\?"),
        ("zzz", r"no transform 'zzz' \(there is: calibrate, ensemble, filter"),
        ("filter:2", r"'filter:2' has a wrong argument; write for example filter:0.5"),
        ("filter:0", "wrong argument"),
        ("filter:half", "wrong argument"),
        ("filter:nan", "wrong argument"),
        ("ensemble:2.5", "'ensemble:2.5' has a wrong argument; write for example ensemble:5"),
        ("ensemble:0", "wrong argument"),
        ("ensemble:65", "wrong argument"),
        ("harden:1", "'harden:1' has a wrong argument; write for example harden$"),
    ],
)
def test_what_cannot_be_parsed_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith(f"w2s.labels={text}: ")
    assert "\n" not in str(caught.value)


def test_every_transform_is_written_as_its_name_and_argument() -> None:
    for name, transform in TRANSFORMS.items():
        ((word, change, value),) = parse(name)
        assert (word, change, value) == (name, transform.change, transform.default or 0)


def test_labels_that_all_lose_their_weight_are_refused_with_the_transform_that_did_it(digits: SplitContext) -> None:
    unsure = WeakLabels.of(np.full((len(digits.experiment.half2), 2), 0.5), "unsure")
    with pytest.raises(UserError, match=r"w2s\.labels=reweight\+harden: reweight leaves no label of digits"):
        transformed(unsure, "reweight+harden", digits, SPECS)


def test_a_critics_verdicts_add_to_the_log_odds_of_the_supervisor(safety: SplitContext) -> None:
    labels = weak_labels(safety)
    made = transformed(labels, "critic", safety, ("words:30", STRONG))
    assert made.probabilities.shape == labels.probabilities.shape
    assert are_probabilities(made.probabilities)
    evidence = special.logit(made.probabilities[:, 1]) - special.logit(labels.probabilities[:, 1])
    assert np.isfinite(evidence).all() and np.ptp(evidence) > 0
    assert made.provenance == ("words:30", "critic")


def test_a_critic_judges_pairs_the_same_in_either_order(cache: Path) -> None:
    pairs = split_context(cache, "pairs", 60, model=MODEL)
    e = pairs.experiment
    assert e.half2.seconds is not None
    swapped = pairs.with_experiment(replace(e, half2=replace(e.half2, inputs=e.half2.seconds, seconds=e.half2.inputs)))
    given, other = (_log_odds(pairs, each.experiment.half2) for each in (pairs, swapped))
    assert other == pytest.approx(-given, abs=1e-4) and np.ptp(given) > 0


def test_a_supervisor_that_reads_a_debate_says_something_else_and_valid(safety: SplitContext) -> None:
    made = transformed(weak_labels(safety), "debate", safety, ("words:30", STRONG))
    assert are_probabilities(made.probabilities)
    assert not np.allclose(made.probabilities, weak_labels(safety).probabilities)
    assert made.provenance == ("words:30", "debate")


def test_a_debate_gives_each_answer_an_argument_for_either_side(safety: SplitContext) -> None:
    rows = safety.experiment.half2.take([0, 1])
    for debated, alone in zip(_debated(safety, rows).inputs, rows.inputs, strict=True):
        answer, accepting, refusing, question = debated.prompt.rsplit("\n", 3)
        assert answer == f"Request: {alone.prompt}\nAnswer: {alone.response}" and not debated.response
        assert accepting.startswith("For: ") and refusing.startswith("Against: ")
        assert accepting != "For: " and refusing != "Against: "
        assert question == "Is the answer acceptable?"


@pytest.mark.parametrize("name", ["critic", "debate"])
def test_critic_and_debate_refuse_rows_that_are_no_texts(digits: SplitContext, weak: WeakLabels, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} reads texts and the rows of task=digits are vectors"):
        transformed(weak, name, digits, SPECS)


def test_a_debate_refuses_pairs(cache: Path) -> None:
    pairs = split_context(cache, "pairs", 60)
    labels = WeakLabels.of(np.full((len(pairs.experiment.half2), 2), 0.5), "made")
    with pytest.raises(UserError, match="debate is for tasks of kind classify: task=pairs is of kind pairs"):
        transformed(labels, "debate", pairs, SPECS)


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - {"filter"}))
def test_only_a_filter_is_for_completions(cache: Path, name: str) -> None:
    inputs = split_context(cache, "refusal", 60).experiment.half2.inputs
    check("filter:0.5", "refusal", "generate", inputs)
    with pytest.raises(UserError, match=f"^{name} is for tasks of kind classify.*: task=refusal is of kind generate"):
        check(name, "refusal", "generate", inputs)
