"""Seed requests from the testbed, a file or the hub, with every mistake named by place."""

from __future__ import annotations

import csv
import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from superalign.config.sections import DataConfig
from superalign.errors import UserError, nearest
from superalign.records import Seed, content_id, content_share

log = logging.getLogger(__name__)
FIELDS: Final = ("id", "text", "kind", "category", "lookalike")
TRUE: Final = frozenset({"1", "true", "yes"})
SourceRow = tuple[str, Mapping[str, Any]]  # where it stands, for messages; its columns


def load_seeds(config: DataConfig, seed: int) -> list[Seed]:
    """The seed requests that `config` names, split into train and eval.

    A request belongs to the eval split by the hash of its text, whatever its id, the run's seed and the other rows are.
    Rows with the same text count once, as the first of them; a text given as harmful and as benign is left out, which
    is logged. `limit` draws that many requests by `seed`.

    Raises:
        UserError: the source cannot be read, a row is malformed, a column is missing, one id is given to two requests,
            or there are fewer than two requests; the message names file and line.
    """
    if config.seeds == "testbed":
        from superalign.testbed import world

        return world.seeds(seed, **({"n": config.limit} if config.limit else {}), eval_share=config.eval_share)
    for field in config.columns:
        if field not in FIELDS:
            raise UserError(f"unknown key data.columns.{field}{nearest(field, FIELDS)} (fields: {', '.join(FIELDS)})")
    found: dict[str, Seed] = {}  # by text
    named: dict[str, str] = {}  # the text of an id
    disputed: dict[str, str] = {}  # where the other kind of a text stands
    kinds_seen: set[str] = set()
    for where, row in read_rows(config.seeds, config.hub_split, "data.seeds"):
        made = _seed(config, where, row, kinds_seen)
        if named.setdefault(made.id, made.text) != made.text:
            raise UserError(f"{where}: id {made.id!r} was already given to another request")
        if found.setdefault(made.text, made).kind != made.kind:
            disputed.setdefault(made.text, where)
    if disputed:
        log.warning(
            "data.seeds=%s: %d of %d requests are left out, for they are given both as harmful and as benign "
            "(the first of them at %s)",
            *(config.seeds, len(disputed), len(found), next(iter(disputed.values()))),
        )
    found = {text: each for text, each in found.items() if text not in disputed}
    if min(len(found), config.limit or 2) < 2:
        held = f"holds {len(found)} different requests" if len(found) < 2 else "is cut to data.limit=1"
        raise UserError(f"data.seeds={config.seeds} {held}: at least 2 are needed, to train and to evaluate on")
    if config.kind is None and not any(each.kind == "harmful" for each in found.values()):
        raise UserError(
            f"data.seeds={config.seeds}: no row is harmful (kinds found: {', '.join(sorted(kinds_seen)[:5])}); "
            "set data.harmful_values to those that mean harmful, or data.kind=benign"
        )
    seeds = list(found.values())
    if config.limit is not None and config.limit < len(seeds):
        seeds = random.Random(f"limit/{seed}").sample(seeds, config.limit)
    return _both_splits(seeds)


def check_seeds(config: DataConfig, seed: int) -> None:
    """Refuse seed requests of which none would be left for evaluation.

    Raises:
        UserError: none is left, or as `load_seeds`.
    """
    if not any(s.split == "eval" for s in load_seeds(config, seed)):
        raise UserError("data.seeds: no seed is left for evaluation; give more seeds or a larger data.eval_share")


def draw_seeds(seeds: Sequence[Seed], count: int, round: int, seed: int) -> list[Seed]:
    """A round's seeds: half harmful (an odd one too), half benign where both are at hand.

    Rounds walk through shuffled pools.
    """
    pools = [[s for s in seeds if s.kind == kind] for kind in ("harmful", "benign")]
    chosen: list[list[Seed]] = []
    for number, pool in enumerate(p for p in pools if p):
        random.Random(f"{seed}/{number}").shuffle(pool)
        want = count if not all(pools) else (count + 1 - number) // 2
        start = (round - 1) * want
        chosen.append([pool[(start + i) % len(pool)] for i in range(min(want, len(pool)))])
    longest = max(map(len, chosen), default=0)
    return [half[i] for i in range(longest) for half in chosen if i < len(half)]


def read_rows(source: str, hub_split: str, what: str) -> Iterator[SourceRow]:
    """The rows of a .jsonl, .csv or .parquet file, or of `hub:OWNER/NAME` (a configuration of it: `/CONFIG`).

    Args:
        source: the path or hub name.
        hub_split: which split of a hub dataset.
        what: the setting that names the source, for messages.

    Raises:
        UserError: the source cannot be read, or a line is malformed; the message names it.
    """
    if source.startswith("hub:"):
        return _hub_rows(source.removeprefix("hub:"), hub_split, what)
    path = Path(source).expanduser()
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise UserError(f"{what}={source}: should be testbed, hub:NAME, or a file ending in {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"{what}={source}: no such file")
    return readers[path.suffix](path)


def _jsonl_rows(path: Path) -> Iterator[SourceRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError:
                raise UserError(f"{path} line {number} is not UTF-8 text") from None
            except json.JSONDecodeError as error:
                raise UserError(f"{path} line {number} is not JSON ({error.msg} at column {error.colno})") from None
            if not isinstance(row, dict):
                raise UserError(f"{path} line {number} is not a JSON object")
            yield f"{path} line {number}", row


def _csv_rows(path: Path) -> Iterator[SourceRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                where = f"{path} line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: the number of cells is not that of the header")
                yield where, row
        except UnicodeDecodeError:
            raise UserError(f"{path} is not UTF-8 text") from None
        except csv.Error as error:
            raise UserError(f"{path} line {reader.line_num} is not CSV ({error})") from None


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})") from None
    for number, row in enumerate(rows, start=1):
        yield f"{path} row {number}", row


def _hub_rows(name: str, split: str, what: str) -> Iterator[SourceRow]:
    from datasets import load_dataset

    owner_and_name, configuration = "/".join(name.split("/")[:2]), name.split("/")[2:3]
    try:
        dataset = load_dataset(owner_and_name, *configuration, split=split)
    except Exception as error:  # the hub, its cache and its file formats each raise their own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{what}=hub:{name} (split {split}) cannot be loaded: {reason[0]}") from None
    for number, row in enumerate(dataset, start=1):
        yield f"hub:{name} row {number}", row


def _seed(config: DataConfig, where: str, row: Mapping[str, Any], kinds_seen: set[str]) -> Seed:
    def column(field: str, needed: bool = False) -> Any:
        name = config.columns.get(field, field)
        if name not in row and (needed or field in config.columns):
            raise UserError(
                f"{where}: no column {name!r} for {field}; "
                f"set data.columns.{field}= to one of {', '.join(map(str, row))}"
            )
        return row.get(name)

    text = column("text", needed=True)
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: column {config.columns.get('text', 'text')!r} holds no text")
    text = text.strip()
    kind: Literal["harmful", "benign"] | None = config.kind
    if kind is None:
        if config.columns.get("kind", "kind") not in row and "kind" not in config.columns:
            raise UserError(
                f"{where}: no column 'kind'; set data.kind=harmful or benign for all rows, "
                f"or data.columns.kind= to one of {', '.join(map(str, row))}"
            )
        value = str(column("kind", needed=True)).strip().lower()
        kinds_seen.add(value)
        kind = "harmful" if value in {each.lower() for each in config.harmful_values} else "benign"
    given, category = column("id"), column("category")
    return Seed(
        id=content_id(text) if given in (None, "") else str(given),
        text=text,
        kind=kind,
        category=str(category).strip() if category else "general",
        split="eval" if _place(text) < config.eval_share else "train",
        lookalike=str(column("lookalike")).strip().lower() in TRUE,
    )


def _place(text: str) -> float:
    """Where in [0, 1) the hash of a request lies."""
    return content_share("split", content_id(text))


def _both_splits(seeds: list[Seed]) -> list[Seed]:
    """Give a split that got nothing the request whose hash is nearest to it."""
    if len({each.split for each in seeds}) == 2:
        return seeds
    all_train = seeds[0].split == "train"
    moved = (min if all_train else max)(seeds, key=lambda each: _place(each.text))
    return [replace(each, split="eval" if all_train else "train") if each is moved else each for each in seeds]
