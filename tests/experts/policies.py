"""The policy of several dimensions that ships, for queues that ask about it."""

from __future__ import annotations

from superalign.config.paths import conf_dir
from superalign.prompts.files import load_policy
from superalign.prompts.policy import Policy


def shipped(name: str = "safety") -> Policy:
    """A policy of conf/policy/."""
    folder = conf_dir() / "policy"
    return load_policy(folder / f"{name}.yaml", folder)
