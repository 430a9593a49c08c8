"""Tables as files: CSV in pieces, and Parquet, both in memory that does not grow with their rows.

Money is exact in both. A column of money becomes two: the integer nano-dollars, and the decimal
dollars with nine places.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.core.money import usd_from_nano


class Kind(Enum):
    """What the cells of a column are. Every cell may be None as well."""

    TEXT = "VARCHAR"
    COUNT = "BIGINT"
    """An integer."""
    MONEY = "DECIMAL(38,9)"
    """Integer nano-dollars."""
    MOMENT = "TIMESTAMP WITH TIME ZONE"
    """A moment in UTC."""
    FLAG = "BOOLEAN"
    """True or false."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. That of money is named without a unit, such as ``cost``."""

    name: str
    kind: Kind = Kind.TEXT


Rows = Iterable[Sequence[Any]]
Batches = Iterable[Rows]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEMORY = "256MB"
_LINE_BYTES_MAX = 64 * 1024 * 1024


class NoParquet(RuntimeError):
    """Parquet files cannot be written here; the message says what to install."""


def csv_pieces(columns: Sequence[Column], batches: Batches) -> Iterator[bytes]:
    """A CSV file by RFC 4180 (UTF-8, lines end in CRLF), a piece for each batch of rows.

    Spreadsheets take text that begins with = + - @ for a formula, and some of it was chosen by
    clients: such text is preceded by an apostrophe. Source: OWASP, "CSV Injection".
    """
    yield _csv_piece([_heads(columns)])
    for batch in batches:
        yield _csv_piece(_csv_row(columns, row) for row in batch)


def write_parquet(columns: Sequence[Column], batches: Batches, folder: Path) -> Path:
    """A Parquet file in ``folder``, which is the caller's to remove.

    Raises NoParquet where DuckDB, which writes it, is not installed.
    """
    if find_spec("duckdb") is None:
        raise NoParquet(
            "Parquet files are written by DuckDB, which is not installed here:"
            " pip install 'faregate[parquet]', or export CSV."
        )
    # Imported here because it is an extra, and large.
    import duckdb

    rows, made = folder / "rows.csv", folder / "table.parquet"
    with rows.open("w", encoding="utf-8", newline="") as file:
        for batch in batches:
            file.writelines(_typed_line(columns, row) for row in batch)
    settings: dict[str, Any] = {
        "memory_limit": _MEMORY,
        "threads": 1,
        "temp_directory": str(folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.execute(_conversion(columns, rows, made))
    rows.unlink()
    return made


def _heads(columns: Sequence[Column]) -> list[str]:
    names: list[str] = []
    for column in columns:
        both = column.kind is Kind.MONEY
        names += [f"{column.name}_usd", f"{column.name}_nano"] if both else [column.name]
    return names


def _csv_piece(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _csv_row(columns: Sequence[Column], row: Sequence[Any]) -> list[str]:
    cells: list[str] = []
    for column, value in zip(columns, row, strict=True):
        if value is None:
            cells += ["", ""] if column.kind is Kind.MONEY else [""]
        elif column.kind is Kind.MONEY:
            cells += [usd_from_nano(value), str(value)]
        elif column.kind is Kind.TEXT:
            cells.append(f"'{value}" if str(value).startswith(_FORMULA) else str(value))
        elif column.kind is Kind.MOMENT:
            cells.append(value.astimezone(UTC).isoformat().replace("+00:00", "Z"))
        elif column.kind is Kind.FLAG:
            cells.append("true" if value else "false")
        else:
            cells.append(str(int(value)))
    return cells


def _typed_line(columns: Sequence[Column], row: Sequence[Any]) -> str:
    """A row as ``_conversion`` reads it: text in quotes, so that what is empty is null."""
    cells: list[str] = []
    for column, value in zip(columns, row, strict=True):
        if value is None:
            cells += ["", ""] if column.kind is Kind.MONEY else [""]
        elif column.kind is Kind.MONEY:
            cells += [usd_from_nano(value), str(value)]
        elif column.kind is Kind.TEXT:
            valid = str(value).encode("utf-8", "replace").decode().replace("\0", "?")
            cells.append('"' + valid.replace('"', '""') + '"')
        elif column.kind is Kind.MOMENT:
            cells.append(str((value - _EPOCH) // timedelta(microseconds=1)))
        else:
            cells.append(str(int(value)))
    return ",".join(cells) + "\n"


def _conversion(columns: Sequence[Column], rows: Path, made: Path) -> str:
    """The statement that turns the lines of ``rows`` into a Parquet file."""
    heads = iter(_heads(columns))
    types: dict[str, str] = {}
    chosen: list[str] = []
    for column in columns:
        name = next(heads)
        if column.kind is Kind.MONEY:
            nano = next(heads)
            types |= {name: Kind.MONEY.value, nano: "BIGINT"}
            chosen += [f'"{name}"', f'"{nano}"']
        elif column.kind is Kind.MOMENT:
            types[name] = "BIGINT"
            chosen.append(f'make_timestamptz("{name}") AS "{name}"')
        else:
            types[name] = column.kind.value
            chosen.append(f'"{name}"')
    fields = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    # Column names are our own, and paths have their quotes doubled.
    source, target = (str(path).replace("'", "''") for path in (rows, made))
    return (
        f"COPY (SELECT {', '.join(chosen)} FROM read_csv('{source}', columns = {{{fields}}},"  # noqa: S608
        " header = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"',"
        " nullstr = '', allow_quoted_nulls = false, new_line = '\\n', parallel = false,"
        f" max_line_size = {_LINE_BYTES_MAX})) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
