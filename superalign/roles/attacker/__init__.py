"""Attackers: who turns seed requests into queries that expose weaknesses."""

from superalign.config.schema import Config
from superalign.generation.base import Generator
from superalign.registry import ATTACKERS
from superalign.roles.attacker.few_shot import FewShotAttacker
from superalign.roles.attacker.file import FileAttacker
from superalign.roles.attacker.trained import TrainedAttacker
from superalign.roles.protocols import Attacker, GivesHiddenStates, Services
from superalign.training.base import Trainer

__all__ = ["FewShotAttacker", "FileAttacker", "TrainedAttacker", "make_attacker"]


def make_attacker(
    config: Config, generator: Generator, trainer: Trainer | None, states: GivesHiddenStates | None = None
) -> Attacker:
    """The attacker that the settings ask for; `states` gives hidden states, by default the generator.

    Raises:
        UserError: there is none of this name, or it lacks what an attacker must have.
    """
    services = Services(config, generator, trainer, "attacker", states or generator)
    attacker: Attacker = ATTACKERS.load(config.attacker.kind)(config.attacker, services)
    return attacker
