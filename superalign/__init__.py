"""superalign: train language models under superalignment (arXiv 2412.11145).

run = superalign.train(["recipe=selfplay", "run.name=mine"])
superalign.Run("mine").preferences()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superalign.commands.api import train as train
    from superalign.errors import UserError as UserError
    from superalign.store.results import Run as Run

__version__ = "0.1.0"
__all__ = ["Run", "UserError", "__version__", "train"]

_WHERE = {"Run": "superalign.store.results", "UserError": "superalign.errors", "train": "superalign.commands.api"}


def __getattr__(name: str) -> Any:
    """What is exported, imported when it is asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
