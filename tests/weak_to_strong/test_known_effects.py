"""The effects that the papers report, on the embedded digits: ten splits, held-out rows, 95 % intervals.

The supervisor is a linear head on 4 x 4 pixels, students are linear heads on the responses to K centroids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from superalign.weak_to_strong.metrics import aggregate
from superalign.weak_to_strong.metrics.pgr import Scores, performance_gap_recovered
from superalign.weak_to_strong.study import Study, StudyWorker, Trial
from tests.weak_to_strong.effects import SPLITS, STRONG, WEAK, gained, pgr_difference, settings

pytestmark = pytest.mark.slow

METHODS, NAIVE = ("naive", "confidence"), ("naive",)


@dataclass(frozen=True)
class Studied:
    """One study on all splits: its trials split by split, and its cells by method."""

    trials: list[list[Trial]]
    cells: dict[str, dict[str, Any]]

    def scores(self, method: str) -> list[Scores]:
        """Weak, student and ceiling on the test rows of every split."""
        tests = [next(t for t in trials if t.info["method"] == method).columns[0] for trials in self.trials]
        return [Scores(*(test[name] for name in (*(f"{w}_score" for w in aggregate.WHO), "cluster"))) for test in tests]

    def pgr(self, method: str) -> float:
        """The performance gap recovered."""
        value: float = self.cells[method]["pgr"]["value"]
        return value


Studies = Callable[..., Studied]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    """Studies by strong model, supervisor and methods, each done once; they share weak labels and ceilings."""
    folder = str(tmp_path_factory.mktemp("cache"))
    workers = {methods: StudyWorker(settings(*methods), folder) for methods in (METHODS, NAIVE)}

    @cache
    def done(strong: str, supervisor: str, methods: tuple[str, ...]) -> Studied:
        trials = [workers[methods].run(Study("digits", supervisor, WEAK, strong), number) for number in range(SPLITS)]
        folders = [tmp_path_factory.mktemp("split") for _ in trials]
        for folder, made in zip(folders, trials, strict=True):
            aggregate.save(folder, made)
        cells = aggregate.cells(folders, seed=0, resamples=1000)
        return Studied(trials, {cell["method"]: cell for cell in cells})

    # Not a default of `done`: what is left out and what is given as it is by default are two things to a cache.
    return lambda strong=STRONG, supervisor="weak", methods=METHODS: done(strong, supervisor, methods)


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
    naive, confidence = (study().cells[method]["agreement"]["supervisor_wrong"] for method in METHODS)
    assert confidence["high"] < naive["low"]


def test_naive_finetuning_agrees_with_its_supervisor_more_often_than_that_is_right(study: Studies) -> None:
    cell = study().cells["naive"]
    assert cell["agreement"]["all"]["low"] > cell["weak_performance"]["high"]


def test_labels_that_are_trivially_imitable_teach_nothing(study: Studies) -> None:
    pgr = study(supervisor="imitable", methods=NAIVE).cells["naive"]["pgr"]
    assert pgr["low"] > -0.1 and pgr["high"] < 0.1


def test_random_errors_teach_far_more_than_a_weak_models_errors_at_the_same_accuracy(study: Studies) -> None:
    random, weak = study(supervisor="random", methods=NAIVE).scores("naive"), study().scores("naive")
    assert gained(random, weak).low > 0
    assert pgr_difference(random, weak)[0] >= 0.3


def test_a_student_no_better_than_its_supervisor_gets_a_reason_and_no_pgr(study: Studies) -> None:
    pgr = study(strong=WEAK, methods=NAIVE).cells["naive"]["pgr"]
    assert pgr["value"] is None and pgr["low"] is None
    assert pgr["reason"].startswith("no gap: PGR undefined (ceiling - weak = ")
