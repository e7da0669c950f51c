"""Under which licence a model may be used and passed on, as far as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from superalign.models.fetched import FETCHED, fetchable
from superalign.models.references import HUB, SHIPPED, resolve

OWN: Final = ("apache-2.0", "Apache-2.0, as superalign itself.")
NOT_TOLD: Final = (
    "The base says nothing here about its licence. Find out before you use or pass on what was trained on it."
)


def licence_of(model: str) -> tuple[str, str]:
    """The licence of a model by the hub's name for it, "" where it is not known, and the terms in a sentence.

    Args:
        model: a reference.
    """
    if model in SHIPPED:
        return OWN
    if model.startswith(FETCHED):
        known = fetchable(model.removeprefix(FETCHED))
        return known.licence, f"That of the base: {known.about}."
    name = _told(model)
    return (name, f"That of the base, `{name}`.") if name else ("", NOT_TOLD)


def _told(model: str) -> str:
    """What the card of a model says; "" where there is none, or it cannot be reached."""
    from huggingface_hub import ModelCard

    folder = Path(resolve(model))
    if not model.startswith(HUB) and not (folder / "README.md").is_file():
        return ""
    try:
        card = ModelCard.load(resolve(model) if model.startswith(HUB) else folder / "README.md")
    except Exception:  # of the network, the hub, or YAML; each has classes of its own
        return ""
    return str(card.data.get("license") or "")
