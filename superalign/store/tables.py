"""Records as parquet files that any reader of parquet can load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from superalign.errors import UserError
from superalign.records import MESSAGE_KEYS, DimensionValue, Message, Record

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R", bound=Record)


def table_path(folder: Path, name: str) -> Path:
    """Where the table `name` of a round lies."""
    return folder / f"{name}.parquet"


def _arrow_type(hint: Any) -> pa.DataType:
    import pyarrow as pa

    plain: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if hint is DimensionValue:
        return pa.struct([("name", pa.string()), ("p", pa.float64())])
    if hint == Message:
        return pa.struct([(key, pa.string()) for key in MESSAGE_KEYS])
    return plain[hint] if hint in plain else pa.string()  # a Literal of strings


def schema_of(kind: type[Record]) -> pa.Schema:
    """The Arrow schema of a record type, so that an empty table has its columns as well."""
    import pyarrow as pa

    hints = get_type_hints(kind)
    return pa.schema([(field.name, _arrow_type(hints[field.name])) for field in fields(kind)])


def write_records(folder: Path, name: str, kind: type[R], records: Sequence[R]) -> Path:
    """Write `folder/name.parquet`; any number of records, none included.

    Raises:
        OSError: the file cannot be written.
        TypeError: a record is not of the type `kind`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for position, record in enumerate(records):
        if type(record) is not kind:
            raise TypeError(f"record {position} of {name} is a {type(record).__name__}, not a {kind.__name__}")
    path = table_path(folder, name)
    table = pa.Table.from_pylist([record.to_row() for record in records], schema=schema_of(kind))
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        if len(table):  # `datasets` takes its batch size from the first row group and stumbles over an empty one
            writer.write_table(table)
    return path


def read_if_written(folder: Path, name: str, kind: type[R]) -> list[R]:
    """`read_records`; nothing where the recipe of the round writes no such table.

    Raises:
        UserError: see there.
    """
    return read_records(folder, name, kind) if table_path(folder, name).is_file() else []


def read_records(folder: Path, name: str, kind: type[R]) -> list[R]:
    """Read what `write_records` wrote, equal to what was written.

    Raises:
        UserError: the file is missing, is no parquet file, or holds other columns than `kind` has.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = table_path(folder, name)
    if not path.is_file():
        raise UserError(f"{path} is missing: the round was not written by this version, or the file was removed")
    try:
        # ParquetFile, not read_table: the latter takes a parent folder's name such as `a=b` for a partition column.
        with pq.ParquetFile(path) as parquet:
            table = parquet.read()
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is no readable parquet file ({str(error).splitlines()[0]})") from None
    wanted = schema_of(kind).names
    if set(table.column_names) != set(wanted):
        raise UserError(f"{path} has the columns {sorted(table.column_names)}; a {kind.__name__} has {sorted(wanted)}")
    hints = get_type_hints(kind)
    lists = [name for name in wanted if get_origin(hints[name]) is tuple]
    rows = table.to_pylist()
    for row in rows:
        for column in lists:
            row[column] = tuple(row[column])
    return [kind(**row) for row in rows]
