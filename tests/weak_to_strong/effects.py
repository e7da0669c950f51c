"""What the known effects are measured on: ten splits of the embedded digits, and intervals over them.

The supervisor is a linear head on 4 x 4 pixels, students are linear heads on the responses to K centroids.
"""

from __future__ import annotations

import numpy as np

from superalign.config.schema import Config
from superalign.stats.estimate import Estimate
from superalign.weak_to_strong.metrics.pgr import Scores, fieller, pooled_difference

SPLITS = 10
WEAK, STRONG = "pixels:4", "centroids:300"


def settings(*methods: str) -> Config:
    """The settings that the recipe has by itself, with these methods."""
    return Config.model_validate({"task": "digits", "method": [*methods], "cluster": {"threads": 1}})


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
