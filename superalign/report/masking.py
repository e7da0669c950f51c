"""What leaves the run folder (a page, a tracker) tells the settings without what opens a door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "***"
SECRET: Final = frozenset({"notify_webhook", "notify_command"})  # an address that is a password; a command may hold one


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without passwords in URLs, and without the addresses and commands that notify experts."""
    return {key: MASK if key in SECRET and value else _masked(value) for key, value in settings.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secrets(value)
    if isinstance(value, list | tuple):
        return [_masked(each) for each in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"(\w://[^\s:/@]*):[^\s/]*@", rf"\1:{MASK}@", value)
    return re.sub(r"([?&]password=)[^\s&]*", rf"\1{MASK}", value)
