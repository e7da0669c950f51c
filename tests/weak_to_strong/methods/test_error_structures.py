"""Supervisors of one accuracy whose errors lie in different places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.weak_to_strong.methods.error_structures import STRUCTURES, corrupt

MOVED = [name for name in STRUCTURES if name not in ("weak", "imitable")]


def rows(classes: int = 2, n: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[truth]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return {
        "probabilities": p,
        "truth": truth,
        "lengths": rng.integers(5, 60, n).astype(float),
        "ceiling_confidence": rng.uniform(0.5, 1, n),
        "ceiling_prediction": np.where(rng.random(n) < 0.95, truth, (truth + 1) % classes),
    }


@given(st.sampled_from(MOVED), st.integers(2, 5), st.integers(0, 50), st.integers(0, 3))
def test_every_structure_has_exactly_the_errors_of_the_real_labels(
    structure: str, classes: int, seed: int, decimals: int
) -> None:
    drawn = rows(classes, 60, seed)
    drawn["probabilities"] = np.round(drawn["probabilities"], decimals)  # ties, down to rows of zeros
    p, _ = corrupt(structure, **drawn, seed=seed)
    wrong = drawn["probabilities"].argmax(1) != drawn["truth"]
    assert (p.argmax(1) != drawn["truth"]).sum() == wrong.sum()


@pytest.mark.parametrize("structure", MOVED)
@pytest.mark.parametrize("classes", [2, 4])
def test_errors_move_but_stay_as_sure_as_they_were(structure: str, classes: int) -> None:
    drawn = rows(classes)
    p, needs_feature = corrupt(structure, **drawn, seed=1)
    real, truth = drawn["probabilities"], drawn["truth"]
    assert not needs_feature and p.sum(1) == pytest.approx(1.0)
    for error in (True, False):
        before, after = (np.sort(q.max(1)[(q.argmax(1) != truth) == error]) for q in (real, p))
        assert after == pytest.approx(before)
    moved = (p.argmax(1) != truth) != (real.argmax(1) != truth)
    assert moved.any()


def erring(structure: str, drawn: dict[str, np.ndarray]) -> np.ndarray:
    p, _ = corrupt(structure, **drawn, seed=2)
    return np.asarray(p.argmax(1) != drawn["truth"])


def test_errors_lie_where_their_structure_says() -> None:
    drawn = rows()
    count = int((drawn["probabilities"].argmax(1) != drawn["truth"]).sum())
    correct = drawn["ceiling_prediction"] == drawn["truth"]

    longest = erring("longest", drawn)
    assert drawn["lengths"][longest].min() >= drawn["lengths"][~longest].max()
    unsure = erring("unconfident", drawn)
    assert drawn["ceiling_confidence"][unsure].max() <= drawn["ceiling_confidence"][~unsure].min()
    sure = erring("confident", drawn)
    assert correct[sure].all()
    assert drawn["ceiling_confidence"][sure].min() >= np.sort(drawn["ceiling_confidence"][correct])[-count]
    random = erring("random", drawn)
    assert abs(drawn["lengths"][random].mean() - drawn["lengths"].mean()) < 5


def test_an_error_names_the_wrong_class_that_the_real_labels_think_likeliest() -> None:
    drawn = rows(4)
    p, _ = corrupt("random", **drawn, seed=3)
    others = drawn["probabilities"].copy()
    others[np.arange(400), drawn["truth"]] = -1
    wrong = p.argmax(1) != drawn["truth"]
    assert (p.argmax(1)[wrong] == others.argmax(1)[wrong]).all()


def test_the_real_labels_and_the_imitable_ones_stay_untouched() -> None:
    drawn = rows()
    for structure, feature in (("weak", False), ("imitable", True)):
        p, needs_feature = corrupt(structure, **drawn, seed=4)
        assert needs_feature is feature and (p == drawn["probabilities"]).all()


def test_a_seed_gives_the_same_labels_again_and_another_seed_others() -> None:
    drawn = rows()
    first, again, other = (corrupt("random", **drawn, seed=seed)[0] for seed in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


def test_a_supervisor_that_never_errs_has_none_to_move() -> None:
    drawn = rows() | {"probabilities": np.eye(2)[rows()["truth"]]}
    assert not erring("confident", drawn).any()


def test_unknown_structures_and_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown error structure 'shortest'"):
        corrupt("shortest", **rows(), seed=0)
    with pytest.raises(ValueError, match="differ in length"):
        corrupt("longest", **(rows() | {"lengths": np.ones(3)}), seed=0)
