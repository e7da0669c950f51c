"""What a run depends on beside its settings, pinned by fingerprints: a resumption that finds another is refused.

They stand in config.yaml under `pinned`, by the setting that names each; changes that somebody accepted under
`accepted_changes`, with the time and the last round before them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from superalign.errors import UserError

PINNED, ACCEPTED = "pinned", "accepted_changes"
SECTIONS: Final = (PINNED, ACCEPTED)
"""What config.yaml holds beside the settings."""
SHOWN: Final = 12  # digits of a fingerprint in a message


@dataclass(frozen=True, slots=True)
class Pin:
    """One thing that a run depends on.

    Attributes:
        what: for messages, for example "the file".
        path: where it was found, absolute; None for what is on the hub or ships with superalign.
        fingerprint: SHA-256 in hexadecimal, or the commit on the hub; None where it could not be told.
    """

    what: str
    path: str | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Pinned:
    """All that a run depends on.

    Attributes:
        pins: by what names each, `KEY=VALUE`; the prompts that ship with superalign are `prompts`.
        accepted: changes since the run began, each with `time`, `after_round`, `name`, `old`, `new`.
    """

    pins: Mapping[str, Pin] = field(default_factory=dict)
    accepted: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """From the contents of a config.yaml; nothing is pinned in one of an earlier version."""
        found = config.get(PINNED) or {}
        pins = {
            name: Pin(each.get("what", ""), each.get("path"), each.get("fingerprint")) for name, each in found.items()
        }
        return cls(pins, tuple(config.get(ACCEPTED) or ()))

    def sections(self) -> dict[str, Any]:
        """As config.yaml has it beside the settings."""
        accepted = {ACCEPTED: [dict(each) for each in self.accepted]} if self.accepted else {}
        return {PINNED: {name: asdict(pin) for name, pin in self.pins.items()}, **accepted}

    def resumed(self, now: Mapping[str, Pin], accept: bool, folder: Path, last_round: int) -> Pinned:
        """What is pinned from now on. What cannot be found now stays as it was, for its reader to tell.

        Raises:
            UserError: something is another thing than before, and that is not accepted; the message names all of it.
        """
        before = self.pins
        changed = [
            {"name": name, "old": before[name].fingerprint, "new": pin.fingerprint}
            for name, pin in now.items()
            if name in before and None not in (pin.fingerprint, before[name].fingerprint)
            if pin.fingerprint != before[name].fingerprint
        ]
        if changed and not accept:
            told = "; ".join(_told(now[str(each["name"])], each) for each in changed)
            raise UserError(
                f"{folder} depends on what has changed since it began: {told}. Restore what was there, choose another "
                "run.name, or add --accept-changes (run.accept_changes=true) to go on and have the change recorded"
            )
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        fresh = [{"time": stamp, "after_round": last_round, **each} for each in changed]
        found = {name: pin for name, pin in now.items() if pin.fingerprint is not None or name not in before}
        return Pinned({**before, **found}, (*self.accepted, *fresh))

    def locate(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with files and folders by the paths where the run found them, so that they hold everywhere."""
        paths = {n: pin.path for n, pin in self.pins.items() if pin.path is not None and Path(pin.path).exists()}
        return {key: _located(value, key, paths) for key, value in settings.items()}


def _told(pin: Pin, change: Mapping[str, Any]) -> str:
    old, new = (str(change[name])[:SHOWN] for name in ("old", "new"))
    return f"{change['name']}: {pin.what} is another (pinned {old}.., now {new}..)"


def _located(value: Any, key: str, paths: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _located(inner, f"{key}.{name}", paths) for name, inner in value.items()}
    if isinstance(value, list):
        return [_located(each, key, paths) for each in value]
    path = paths.get(f"{key}={value}") if isinstance(value, str) else None
    if path is None:
        return value
    _, plugin, name = value.partition(".py:")
    if plugin:
        return f"{path}:{name}"
    return value if ":" in value else path  # KIND:MODEL stays as it is
