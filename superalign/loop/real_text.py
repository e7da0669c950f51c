"""The measurement on real text in a run: when it is due, what it is compared with, what a round keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from superalign.evaluation.real_text.limit import limit_curve
from superalign.evaluation.real_text.measuring import RealText, is_due, measure_real_text
from superalign.evaluation.suites import Examined
from superalign.loop.workers import Workers
from superalign.models import same_model
from superalign.records import Measured, Response, by_dimension
from superalign.store.folder import RunFolder
from superalign.store.tables import read_if_written, write_records

TABLE: Final = "evaluation"
"""The table of what the figures on real text are made of."""
PROBE: Final = "probe"
HARMFUL: Final = "harmful"
"""The dimension of a policy that is asked of requests."""
UNKNOWN: Final = 0.5


def on_real_text(workers: Workers, number: int, first: Sequence[Measured]) -> RealText:
    """The measurement of `evaluation.requests`, `choices` and `texts` after a round, empty where none is due.

    Args:
        workers: after the round.
        number: of the round.
        first: what was measured in round 0.
    """
    if not (workers.real_sets and is_due(workers.config, number)):
        return RealText()
    examined = Examined(workers.config, workers.learner, workers.judge, workers.generator)
    found = measure_real_text(workers.real_sets, examined, first)
    return replace(found, limit=_limit(workers, found, first or found.items))


def _limit(workers: Workers, found: RealText, first: Sequence[Measured]) -> list[tuple[float, float]]:
    """What refusing by the critic's P(harmful) would do, where that is read from the learner's own frozen base.

    That base is the first learner; what its probes know grows with the labels of the run.
    """
    config = workers.config
    own = same_model(config.model_of("critic"), config.model_of("learner"))
    if config.critic.kind != PROBE or config.critic.verdicts != "model" or not own or not found.cases:
        return []
    queries = [query for query, *_ in found.cases]
    unanswered = [(query, Response(query.id, query.id, "", (), (), (), "sample", 0)) for query in queries]
    judged = workers.critic.judge_points(unanswered, config.seed)
    p = [by_dimension(each.dimensions).get(HARMFUL, UNKNOWN) for each in judged]
    if len(set(p)) < 2:  # nothing has taught it
        return []
    complied = {each.item: each.value > 0.5 for each in first}
    return limit_curve(p, [query.kind for query in queries], [complied.get(query.id, True) for query in queries])


def save_measured(folder: Path, real: RealText) -> None:
    """Write the table into the folder of a round, if there is anything in it."""
    if real.items:
        write_records(folder, TABLE, Measured, real.items)


def measured_first(run: RunFolder) -> list[Measured]:
    """What was measured in round 0; nothing where that is not committed, or measured none."""
    return read_if_written(run.round_path(0), TABLE, Measured)
