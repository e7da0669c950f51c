"""Rows from a file, a folder of files or the hub: what form and encoding they have is found out, and said."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from superalign.data.delimited import delimited_table
from superalign.data.encodings import decode, read_bytes
from superalign.data.forms import SourceRow, Table, is_empty, json_table, parquet_table, shown, text_table, with_words
from superalign.errors import UserError

HUB: Final = "hub:"
FORMS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
PACKED: Final = ".gz"
ABOUT: Final = ("readme", "license", "licence", "notice", "dataset_info", "dataset_infos", "dataset_dict", "state")
UNREAD: Final = {  # what to do with what is not read
    ".zst": "unpack it first, or compress it by gzip",
    ".bz2": "unpack it first, or compress it by gzip",
    ".xz": "unpack it first, or compress it by gzip",
    ".zip": "unpack it first",
    ".tar": "unpack it first",
    ".tgz": "unpack it first",
    ".xlsx": "save the table as CSV",
    ".xls": "save the table as CSV",
    ".ods": "save the table as CSV",
    ".arrow": "save it as Parquet",
    ".feather": "save it as Parquet",
    ".pkl": "save it as Parquet",
}


def read_tables(
    source: str, hub_split: str, what: str, encoding: str | None = None, class_names: bool = True
) -> list[Table]:
    """The tables of a file, of every file in a folder, or of `hub:OWNER/NAME` (a configuration of it: `/CONFIG`).

    Args:
        source: the path or hub name.
        hub_split: which split of a hub dataset, or of one that `save_to_disk` wrote.
        what: the setting that names the source, for messages.
        encoding: of files that are neither UTF-8 nor UTF-16.
        class_names: whether the names of classes stand in place of their numbers, where a data set has such names.

    Raises:
        UserError: the source cannot be read, or a line is malformed; the message names it.
    """
    if not source.strip():
        raise UserError(f"{what}= is empty: name testbed, a file, a folder or hub:NAME")
    if source.startswith(HUB):
        return [_hub_table(source.removeprefix(HUB), hub_split, what, class_names)]
    path = Path(source).expanduser()
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return [_saved_table(path, hub_split, what, class_names)]
        return [_file_table(file, encoding, class_names) for file in _files(path, what)]
    if (form := _form(path)) not in FORMS:
        remedy = f"; {UNREAD[form]}" if form in UNREAD else ""
        raise UserError(
            f"{what}={source}: should be testbed, hub:NAME, a folder, or a file ending in "
            f"{', '.join(FORMS)} (or in one of these and {PACKED}){remedy}"
        )
    if not path.is_file():
        raise UserError(f"{what}={source}: no such file{_alike(path)}")
    return [_file_table(path, encoding, class_names)]


def read_rows(source: str, hub_split: str, what: str, encoding: str | None = None) -> Iterator[SourceRow]:
    """The rows of `read_tables`, one table after the other, with numbers of classes.

    Raises:
        UserError: see `read_tables`; or two columns have one name.
    """
    for table in read_tables(source, hub_split, what, encoding, class_names=False):
        if table.twice:
            raise UserError(f"{table.name}: two columns are called {shown(sorted(table.twice))}; rename one")
        yield from table.rows


def passed_over(source: str) -> list[str]:
    """Of a folder, the names of the files that are not read."""
    path = Path(source).expanduser()
    if source.startswith(HUB) or not path.is_dir():
        return []
    read = set(_readable(path))
    return sorted(file.relative_to(path).as_posix() for file in _visible(path) if file not in read)


def _form(path: Path) -> str:
    """What a file's name says that it is, gzip aside."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == PACKED else suffix


def _files(folder: Path, what: str) -> list[Path]:
    if files := _readable(folder):
        return files
    raise UserError(f"{what}={folder} is a folder without a file ending in {', '.join(FORMS)}")


def _readable(folder: Path) -> list[Path]:
    """The files of a folder that hold rows, by name; lines of text only where nothing else is there."""
    files = [
        path
        for path in _visible(folder)
        if _form(path) in FORMS and path.name.lower().split(".")[0].split("-")[0] not in ABOUT
    ]
    return [path for path in files if _form(path) != ".txt"] or files


def _visible(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones, in the order of their names."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _file_table(path: Path, encoding: str | None, class_names: bool) -> Table:
    form, data = _form(path), read_bytes(path)
    if form == ".parquet":
        return parquet_table(path, data, class_names)
    text, found, replaced = decode(path, data, encoding)
    if form == ".txt":
        table = text_table(path, text)
    elif form in (".csv", ".tsv"):
        table = delimited_table(path, text, tabs=form == ".tsv")
    else:
        table = json_table(path, text, lines_first=form != ".json")
    packed = ", gzip" if path.suffix.lower() == PACKED else ""
    told = f"{table.form}, {found.upper()}{packed}"
    return Table(table.name, told, table.rows, table.empty, table.replaced + replaced, table.twice)


def _hub_table(name: str, split: str, what: str, class_names: bool) -> Table:
    from datasets import load_dataset

    owner_and_name, configuration = "/".join(name.split("/")[:2]), name.split("/")[2:3]
    try:
        dataset = load_dataset(owner_and_name, *configuration, split=split)
    except Exception as error:  # the hub, its cache and its file formats each raise their own
        raise UserError(f"{what}={HUB}{name} (split {split}) cannot be loaded: {_reason(error)}") from None
    return _of_dataset(f"{HUB}{name}", f"hub, split {split}", dataset, class_names)


def _saved_table(folder: Path, split: str, what: str, class_names: bool) -> Table:
    """A dataset that `save_to_disk` wrote."""
    from datasets import DatasetDict, load_from_disk

    try:
        dataset = load_from_disk(str(folder))
    except Exception as error:  # each file format raises its own
        raise UserError(f"{what}={folder} cannot be loaded as a saved dataset: {_reason(error)}") from None
    if isinstance(dataset, DatasetDict):
        if split not in dataset:
            raise UserError(f"{what}={folder} has no split {split}; set data.hub_split= to one of {', '.join(dataset)}")
        dataset = dataset[split]
    return _of_dataset(str(folder), "saved dataset", dataset, class_names)


def _of_dataset(name: str, form: str, dataset: Any, class_names: bool) -> Table:
    named = dataset.features.items() if class_names else ()
    words = {column: feature.names for column, feature in named if hasattr(feature, "names")}
    rows = [(f"{name} row {number}", with_words(row, words)) for number, row in enumerate(dataset, 1)]
    kept = [(where, row) for where, row in rows if not all(map(is_empty, row.values()))]
    return Table(name, form, kept, len(rows) - len(kept))


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _alike(path: Path) -> str:
    """The file beside it that is spelled most like a missing one."""
    beside = [each.name for each in path.parent.iterdir() if each.is_file()] if path.parent.is_dir() else []
    found = difflib.get_close_matches(path.name, beside, 1, 0.8)
    return f"; did you mean {path.with_name(found[0])}?" if found else ""
