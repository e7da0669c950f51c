"""Which critic the settings ask for; all judge, explain and learn by the same calls."""

from __future__ import annotations

from superalign.config.schema import Config
from superalign.roles.critic.classifier import ClassifierCritic
from superalign.roles.critic.debate import ConsultancyCritic, DebateCritic
from superalign.roles.critic.generative import Critic

KINDS: dict[str, type[Critic]] = {
    "generative": Critic,
    "classifier": ClassifierCritic,
    "debate": DebateCritic,
    "consultancy": ConsultancyCritic,
}


def critic_class(config: Config) -> type[Critic]:
    """The class of critic that `critic.kind` names."""
    return KINDS[config.critic.kind]
