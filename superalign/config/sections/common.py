"""What all sections of the schema are made of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, SupportsIndex

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from superalign.registry.files import PREFIX, file_module

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
BelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]
InnerFraction = Annotated[float, Field(gt=0.0, lt=1.0)]
NoiseRate = Annotated[float, Field(ge=0.0, lt=0.5)]
"""A share of wrong labels. With half of them wrong, labels tell nothing."""
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


NameList = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One word or several: a run goes through all of them (`task=digits,safety`)."""


def _as_words(value: Any) -> Any:
    """Numbers and truth values as they are written in a table: 1.0 is 1, True is true."""
    given = (value,) if isinstance(value, str | int | float) else value
    return tuple(map(as_word, given)) if isinstance(given, list | tuple) else given


def as_word(value: Any) -> Any:
    """A cell as the word that it is: True as true, 1.0 as 1, text without the spaces around it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, str | int | float) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_words)]
"""Values of a column."""


class Section(BaseModel):
    """Base of all sections: frozen; unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Settings of a plug-in in a file name the file: no other process could import its module by name."""
        made = super().__reduce_ex__(protocol)
        module = sys.modules[type(self).__module__]
        file = getattr(module, "__file__", None)
        if file is None or not module.__name__.startswith(PREFIX):
            return made
        return (_from_file, (file, type(self).__qualname__), *made[2:])


def _from_file(file: str, name: str) -> Any:
    found: Any = file_module(Path(file))
    for part in name.split("."):
        found = getattr(found, part)
    return found.__new__(found)
