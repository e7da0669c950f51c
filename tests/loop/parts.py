"""Everybody that a phase of a round needs: real roles on a generator that a test scripts, without a cluster."""

from __future__ import annotations

from typing import Any

from superalign.config.schema import Config
from superalign.data.seeds import load_seeds
from superalign.loop.workers import Workers
from superalign.roles.learner import Learner
from superalign.roles.replay_buffer import ReplayBuffer
from tests.roles.parts import attacker, critic


def workers(settings: Config, generator: Any, trainer: Any = None, **others: Any) -> Workers:
    """Workers with the roles of the settings; `others` replace what they have or add what a phase does not need."""
    given: dict[str, Any] = {
        "config": settings,
        "cluster": None,
        "resources": None,
        "generator": generator,
        "pool": None,
        "trainer": trainer,
        "attacker": attacker(settings, generator, trainer),
        "critic": critic(settings, generator, trainer),
        "learner": Learner(settings, generator, trainer),
        "expert": None,
        "judge": None,
        "replay": ReplayBuffer(settings.learner.anchors),
        "reward": None,
        "train_seeds": [s for s in load_seeds(settings.data, settings.seed) if s.split == "train"],
        "sets": {},
        "real_sets": (),
    }
    return Workers(**given | others)
