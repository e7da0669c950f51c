"""Sample texts can be harmful: on disk they are sealed, and only a deliberate act shows them.

A sealed row tells how long each text is; the texts themselves are base64 in one field, so that neither `cat`, `grep`
nor an editor's preview shows them by accident. This is courtesy to the reader, not encryption.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

TEXT_FIELDS = ("query", "response", "critique")
SEALED = "sealed"


def placeholder(text: str) -> str:
    """What stands in place of a text."""
    words = len(text.split())
    return f"[redacted: {words} word{'' if words == 1 else 's'}]"


def seal(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its texts replaced by placeholders and kept in the field `sealed`; sealing twice changes nothing."""
    if SEALED in row:
        return dict(row)
    texts = {name: str(row.get(name) or "") for name in TEXT_FIELDS}
    packed = base64.b64encode(json.dumps(texts).encode()).decode("ascii")
    return {**row, **{name: placeholder(text) for name, text in texts.items()}, SEALED: packed}


def unseal(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its texts in clear.

    Raises:
        ValueError: the field `sealed` is damaged.
    """
    if SEALED not in row:
        return dict(row)
    texts = json.loads(base64.b64decode(row[SEALED], validate=True))
    return {**{name: value for name, value in row.items() if name != SEALED}, **texts}
