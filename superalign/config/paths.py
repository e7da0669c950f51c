"""Where conf/ and recipes/ lie: inside an installed wheel, else in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[1]
TEMPLATES: Final = "templates"
TEXTS: Final = ("prompts", "policy")
"""Folders of conf/ whose files are read as they are: what roles are asked, and what they are judged by."""


def home() -> Path:
    """The folder that holds conf/ and recipes/.

    A wheel carries them as superalign/_bundled/. That is looked at first: beside an installed package lies
    site-packages, where a conf/ would be somebody else's.
    """
    bundled = PACKAGE / "_bundled"
    return bundled if bundled.is_dir() else PACKAGE.parent


def conf_dir() -> Path:
    """The folder of the configuration groups."""
    return home() / "conf"


def recipe_path(name: str) -> Path:
    """The file whose `main` runs the recipe `name`."""
    return home() / "recipes" / f"{name}.py"


def groups() -> dict[str, dict[str, str]]:
    """Every configuration group: its options, each with the line that describes it."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(conf_dir().glob("*/*.yaml")):
        if path.parent.name not in (TEMPLATES, *TEXTS):
            found.setdefault(path.parent.name, {})[path.stem] = _described(path)
    return found


def templates() -> dict[str, Path]:
    """Files of settings to start from, by file name."""
    return {path.name: path for path in sorted((conf_dir() / TEMPLATES).glob("*.yaml"))}


def _described(path: Path) -> str:
    comments = (line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
    # Hydra wants its own `# @package` header first.
    return next((line for line in comments if not line.startswith("# @")), "").removeprefix("# ")
