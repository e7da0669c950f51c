"""What longer training does to students of weak labels, on the embedded digits: ten splits, 95 % intervals."""

from __future__ import annotations

import pytest

from superalign.weak_to_strong.cache import Cache
from superalign.weak_to_strong.methods.registry import make_method
from superalign.weak_to_strong.methods.supervisors import supervised
from superalign.weak_to_strong.metrics.pgr import Scores
from superalign.weak_to_strong.protocol import right, split
from superalign.weak_to_strong.split_context import Predictions, SplitContext
from superalign.weak_to_strong.tasks.registry import load_task
from tests.weak_to_strong.effects import SPLITS, STRONG, WEAK, gained, pgr_difference, settings

pytestmark = pytest.mark.slow

FEW, MANY = 5, 100  # epochs; heads are trained for 30 by default
CONFIG = settings("naive", "confidence")
Lengths = dict[tuple[str, int], list[Scores]]  # by method and epochs


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> Lengths:
    """Students trained for few and for many epochs on the same labels, against the same ceiling."""
    found: Lengths = {}
    cache = Cache(tmp_path_factory.mktemp("cache"))
    for number in range(SPLITS):
        experiment = split(load_task("digits"), number)
        context, weak, labels, specs = supervised(SplitContext(experiment, CONFIG, cache), (WEAK, STRONG), "weak")
        truth, ceiling = experiment.truth_test.open("scorer"), context.ceiling(STRONG)
        for method in CONFIG.method:
            for epochs in (FEW, MANY):
                student = make_method(method).train(context.with_epochs(epochs), labels, specs).outputs
                assert isinstance(weak, Predictions) and isinstance(student, Predictions)
                trio = [right(one.test, truth) for one in (weak, student, ceiling)]
                found.setdefault((method, epochs), []).append(Scores(*trio, experiment.test.groups))
    return found


def test_naive_finetuning_overfits_to_the_weak_labels(lengths: Lengths) -> None:
    few, many = lengths["naive", FEW], lengths["naive", MANY]
    assert gained(few, many).low > 0
    assert pgr_difference(few, many)[0] > 0.1


def test_the_confidence_loss_gains_from_epochs_at_which_naive_finetuning_overfits(lengths: Lengths) -> None:
    assert gained(lengths["confidence", MANY], lengths["confidence", FEW]).low > 0
