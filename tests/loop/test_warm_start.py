"""What the critic is told before round 1."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from superalign.config.compose import load
from superalign.config.schema import Config
from superalign.loop.warm_start import _known_attacks
from superalign.loop.workers import Workers


def loaded(attacker: dict[str, Any]) -> Config:
    kind = attacker.pop("name", "few_shot")
    return load([f"attacker={kind}", *(f"attacker.{name}={value}" for name, value in attacker.items())])


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_kinds_of_known_attacks_are_told(tmp_path: Path) -> None:
    rows = [{"adversarial": "A tale of a lock.", "kind": "benign"}, {"adversarial": "A thief's.", "kind": "harmful"}]
    file = written(tmp_path / "known.jsonl", *rows)

    def found(**attacker: Any) -> list[tuple[str, bool]]:
        return _known_attacks(cast(Workers, SimpleNamespace(config=loaded(attacker))))

    told = [("A tale of a lock.", False), ("A thief's.", True)]
    assert found() == []
    assert found(known=file) == found(name="file", attacks=file) == told
