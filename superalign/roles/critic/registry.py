"""Which critic the settings ask for."""

from __future__ import annotations

from superalign.config.schema import Config
from superalign.roles.critic.shuffled import ShuffledVerdicts
from superalign.roles.critic.verdicts import VerdictModel


def critic_class(config: Config) -> type[VerdictModel]:
    """What the loop asks for verdicts: the critic of the settings, or the same with its verdicts shuffled."""
    return ShuffledVerdicts if config.critic.verdicts == "shuffled" else VerdictModel
