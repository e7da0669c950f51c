"""Sweeps: overrides with several values become one list of overrides for each run (`--multirun`)."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from superalign.config.compose import load, split
from superalign.config.keys import is_several, schema_keys
from superalign.config.overrides import Override, parse, read
from superalign.config.paths import groups
from superalign.errors import UserError
from superalign.store.run_lock import recipe_name

FUNCTIONS: Final = ("choice(", "range(", "glob(", "sort(", "shuffle(", "tag(")
LONGEST_NAME: Final = 160


def sweep(given: Sequence[str]) -> list[list[str]]:
    """One list of overrides for each combination of values, the last one varying fastest; each is checked.

    Values are Hydra's: `seed=1,2,3`, `seed=range(1,4)`, `learner=dpo,kto`, `learner=glob(*)`. Settings that take
    several words in one run (`task=digits,qa`) go on doing so; `task=choice(digits,qa)` makes a run of each. Runs get
    names that tell what varies (`NAME_seed=1_learner=kto`), after `run.name` or else the recipe and the time.

    Raises:
        UserError: an override cannot be read, or a combination is no valid configuration.
    """
    files, words = split(given)
    overrides = [read(word) for word in words]
    choices = [_values(override) for override in overrides]
    if all(values is None for values in choices):
        load(given)
        return [list(given)]
    named = [o.value for o in overrides if o.key == "run.name" and o.value]
    prefix, runs, taken = named[-1] if named else None, [], set[str]()
    for combination in itertools.product(*([None] if values is None else values for values in choices)):
        pairs = list(zip(overrides, combination, strict=True))
        kept = [(o, value) for o, value in pairs if o.key != "run.name"]
        run = [*files, *(o.given if value is None else f"{o.key}={value}" for o, value in kept)]
        config = load(run)
        prefix = prefix or f"{recipe_name(config.recipe)}-{time.strftime('%Y%m%d-%H%M%S')}"
        name = _name(prefix, [(o.key, value) for o, value in pairs if value is not None])
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        name = next(free for free in names if free not in taken)
        taken.add(name)
        runs.append([*run, f"run.name={name}"])
    return runs


def _values(override: Override) -> list[str] | None:
    """The values that an override goes through; None where it has one."""
    from hydra.core.override_parser.types import Glob, QuotedString, Transformer
    from hydra.errors import HydraException

    key, text = override.key, override.value
    if text is None or key == "run.name" or not ("," in text or text.startswith(FUNCTIONS)):
        return None
    if is_several(schema_keys().get(key)) and not text.startswith(FUNCTIONS):
        return None
    try:
        parsed = parse(text, override.given)
    except UserError:
        return None  # text with commas that is no list; what cannot be read at all is refused when it is loaded
    if not parsed.is_sweep_override():
        return None
    if parsed.is_interval_sweep():
        raise UserError(f"{override.given!r} names an interval: give its values, as range(1,4) or 1,2,3")
    if isinstance(value := parsed.value(), Glob):
        options = groups().get(key)
        if options is None:
            raise UserError(f"{override.given!r}: glob chooses options of {', '.join(groups())}")
        found = [str(option) for option in value.filter(list(options))]
    else:

        def typed(one: Any) -> Any:
            if isinstance(one, QuotedString):
                return one.with_quotes()
            if isinstance(one, bool):
                return str(one).lower()
            return one if isinstance(one, str) else Transformer.encode(one)

        try:
            found = list(parsed.sweep_iterator(transformer=typed))
        except HydraException as error:
            raise UserError(f"{override.given!r}: {' '.join(str(error).split())}") from None
    if not found:
        raise UserError(f"{override.given!r} leaves no value")
    return found


def _name(prefix: str, varied: Sequence[tuple[str, str]]) -> str:
    """A name that can be a folder's."""
    tail = "_".join(f"{key}={value}" for key, value in varied)
    name = re.sub(r"[^\w.=,+@-]+", "-", f"{prefix}_{tail}")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
