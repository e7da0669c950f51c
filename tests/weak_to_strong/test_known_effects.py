"""The effects that the papers report, on the embedded digits: ten splits, held-out rows, 95 % intervals.

The supervisor is a linear head on 4 x 4 pixels, students are linear heads on the responses to K centroids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from superalign.config import Config
from superalign.evaluation.intervals import Estimate
from superalign.weak_to_strong import results
from superalign.weak_to_strong.lab import Lab, Predictions
from superalign.weak_to_strong.methods import METHODS
from superalign.weak_to_strong.pgr import Scores, fieller, performance_gap_recovered, pooled_difference
from superalign.weak_to_strong.protocol import right, split
from superalign.weak_to_strong.study import Bench, Study, Trial
from superalign.weak_to_strong.supervisors import supervised
from superalign.weak_to_strong.tasks import load_task

pytestmark = pytest.mark.slow

SPLITS = 10
WEAK, STRONG = "pixels:4", "centroids:300"
FEW, MANY = 5, 100  # epochs; heads are trained for 30 by default
CONFIG = Config.model_validate({"task": "digits", "method": ["naive", "confidence"], "cluster": {"threads": 1}})


@dataclass(frozen=True)
class Studied:
    """One study on all splits: its trials split by split, and its cells by method."""

    trials: list[list[Trial]]
    cells: dict[str, dict[str, Any]]

    def scores(self, method: str) -> list[Scores]:
        """Weak, student and ceiling on the test rows of every split."""
        tests = [next(t for t in trials if t.info["method"] == method).columns[0] for trials in self.trials]
        return [Scores(*(test[name] for name in (*(f"{w}_score" for w in results.WHO), "cluster"))) for test in tests]

    def pgr(self, method: str) -> float:
        """The performance gap recovered."""
        value: float = self.cells[method]["pgr"]["value"]
        return value


Studies = Callable[..., Studied]
Lengths = dict[tuple[str, int], list[Scores]]  # by method and epochs


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench with the settings that the recipe has by itself."""
    return Bench(CONFIG, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def study(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Studies:
    """Studies by strong model, weak model and supervisor, each done once."""

    @cache
    def done(strong: str = STRONG, weak: str = WEAK, supervisor: str = "weak") -> Studied:
        trials = [bench.run(Study("digits", supervisor, weak, strong), number) for number in range(SPLITS)]
        folders = [tmp_path_factory.mktemp("split") for _ in trials]
        for folder, made in zip(folders, trials, strict=True):
            results.save(folder, made)
        cells = results.cells(folders, seed=0, resamples=1000)
        return Studied(trials, {cell["method"]: cell for cell in cells})

    return done


@pytest.fixture(scope="module")
def lengths(bench: Bench) -> Lengths:
    """Students trained for few and for many epochs on the same labels, against the same ceiling."""
    found: Lengths = {}
    for number in range(SPLITS):
        experiment = split(load_task("digits"), number)
        lab, weak, labels, specs = supervised(Lab(experiment, CONFIG, bench.cache), (WEAK, STRONG), "weak")
        truth, ceiling = experiment.truth_test.open("scorer"), lab.ceiling(STRONG)
        for method in CONFIG.method:
            for epochs in (FEW, MANY):
                student = METHODS[method].train(lab.with_epochs(epochs), labels, specs).found
                assert isinstance(weak, Predictions) and isinstance(student, Predictions)
                trio = [right(one.test, truth) for one in (weak, student, ceiling)]
                found.setdefault((method, epochs), []).append(Scores(*trio, experiment.test.groups))
    return found


def gained(a: list[Scores], b: list[Scores]) -> Estimate:
    """Accuracy of the students of a less that of those of b on the same rows."""
    clusters = [s.clusters for s in a]
    return pooled_difference([s.student for s in a], [s.student for s in b], clusters)


def pgr_difference(a: list[Scores], b: list[Scores]) -> tuple[float, float]:
    """The 95 % interval of PGR of a less PGR of b over the splits, where supervisors and ceilings are equally good."""
    found = np.array(
        [[np.mean(x) for x in (s.student, t.student, s.weak, t.weak, s.ceiling)] for s, t in zip(a, b, strict=True)]
    )
    student, other, weak, other_weak, ceiling = found.T
    np.testing.assert_allclose(weak, other_weak)
    interval = fieller(student - other, ceiling - weak)
    assert interval is not None
    return interval


@pytest.mark.parametrize("strong", ["centroids:300", "centroids:200"])
def test_naive_finetuning_recovers_a_part_of_the_gap(study: Studies, strong: str) -> None:
    pgr = study(strong).cells["naive"]["pgr"]
    assert pgr["low"] > 0 and 0.1 <= pgr["value"] <= 0.4


@pytest.mark.parametrize("strong", ["centroids:300", "centroids:200"])
def test_the_confidence_loss_recovers_more_of_a_large_gap(study: Studies, strong: str) -> None:
    done = study(strong)
    assert done.pgr("confidence") >= done.pgr("naive") + 0.1
    assert gained(done.scores("confidence"), done.scores("naive")).low > 0


def test_the_confidence_loss_loses_at_a_small_gap_and_wins_at_a_large_one(study: Studies) -> None:
    small, large = study("centroids:30"), study(STRONG)
    gaps = [performance_gap_recovered(done.scores("naive")).gap for done in (small, large)]
    assert gaps[0].low > 0 and gaps[0].high < gaps[1].low
    assert gained(small.scores("confidence"), small.scores("naive")).high < 0
    assert gained(large.scores("confidence"), large.scores("naive")).low > 0


def test_the_confidence_loss_imitates_fewer_of_the_supervisors_errors(study: Studies) -> None:
    naive, confidence = (study().cells[method]["agreement"]["supervisor_wrong"] for method in CONFIG.method)
    assert confidence["high"] < naive["low"]


def test_naive_finetuning_agrees_with_its_supervisor_more_often_than_that_is_right(study: Studies) -> None:
    cell = study().cells["naive"]
    assert cell["agreement"]["all"]["low"] > cell["weak_performance"]["high"]


def test_naive_finetuning_overfits_to_the_weak_labels(lengths: Lengths) -> None:
    few, many = lengths["naive", FEW], lengths["naive", MANY]
    assert gained(few, many).low > 0
    assert pgr_difference(few, many)[0] > 0.1


def test_the_confidence_loss_gains_from_epochs_at_which_naive_finetuning_overfits(lengths: Lengths) -> None:
    assert gained(lengths["confidence", MANY], lengths["confidence", FEW]).low > 0


def test_labels_that_are_trivially_imitable_teach_nothing(study: Studies) -> None:
    pgr = study(supervisor="imitable").cells["naive"]["pgr"]
    assert pgr["low"] > -0.1 and pgr["high"] < 0.1


def test_random_errors_teach_far_more_than_a_weak_models_errors_at_the_same_accuracy(study: Studies) -> None:
    random, weak = study(supervisor="random").scores("naive"), study().scores("naive")
    assert gained(random, weak).low > 0
    assert pgr_difference(random, weak)[0] >= 0.3


def test_a_student_no_better_than_its_supervisor_gets_a_reason_and_no_pgr(study: Studies) -> None:
    pgr = study(strong=WEAK).cells["naive"]["pgr"]
    assert pgr["value"] is None and pgr["low"] is None
    assert pgr["reason"].startswith("no gap: PGR undefined (ceiling - weak = ")
