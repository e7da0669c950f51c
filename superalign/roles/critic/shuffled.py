"""The placebo of `critic.verdicts=shuffled`: the critic's own verdicts, each on another item."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from superalign.records import ExpertLabel, Judgement
from superalign.roles.critic.verdicts import Believed, ResponsePair, VerdictModel
from superalign.roles.protocols import Point


class ShuffledVerdicts(VerdictModel):
    """Whoever learns from these verdicts learns from noise of the same shape."""

    def _believed(self, points: Sequence[Point], seed: int) -> list[Believed]:
        found = super()._believed(points, seed)
        random.Random(f"point/{seed}").shuffle(found)
        return found

    def label_pairs(self, pairs: Sequence[ResponsePair], seed: int) -> list[Judgement]:
        """The verdicts on the pairs, in another order."""
        judged = self.judge_pairs(pairs)
        beliefs = [(j.p, j.logit, j.abstained) for j in judged]
        random.Random(f"verdicts/{seed}").shuffle(beliefs)
        return [replace(j, p=p, logit=x, abstained=a) for j, (p, x, a) in zip(judged, beliefs, strict=True)]

    def votes(self, labels: Sequence[ExpertLabel]) -> list[ExpertLabel]:
        """None: experts would repair what the placebo is to break."""
        return []
