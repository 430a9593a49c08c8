from __future__ import annotations

import csv
import io
import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters import table_files
from gateway.adapters.table_files import Column, Kind, NoParquet, csv_pieces, write_parquet

COLUMNS = (
    Column("name"),
    Column("requests", Kind.COUNT),
    Column("cost", Kind.MONEY),
    Column("at", Kind.MOMENT),
    Column("streamed", Kind.FLAG),
)
AT = datetime(2026, 5, 1, 12, 30, 0, 123000, tzinfo=UTC)


def as_csv(*rows: tuple[Any, ...]) -> bytes:
    return b"".join(csv_pieces(COLUMNS, [rows]))


def as_parquet(folder: Path, *rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    made = write_parquet(COLUMNS, [rows], folder)
    assert [path.name for path in folder.iterdir()] == [made.name]
    with duckdb.connect() as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            "SELECT * FROM read_parquet(?)", [str(made)]
        ).fetchall()
    made.unlink()
    return found


def test_csv_is_as_the_rfc_says_and_money_is_exact() -> None:
    text = as_csv(
        ('a "b", c\nd', 3, 1_000_000_001, AT, True),
        (None, None, None, None, None),
        ("é", 0, -5, AT, False),
    )
    assert text.decode() == (
        "name,requests,cost_usd,cost_nano,at,streamed\r\n"
        '"a ""b"", c\nd",3,1.000000001,1000000001,2026-05-01T12:30:00.123000Z,true\r\n'
        ",,,,,\r\n"
        "é,0,-0.000000005,-5,2026-05-01T12:30:00.123000Z,false\r\n"
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_is_a_formula(start: str) -> None:
    text = as_csv((f"{start}cmd|' /C calc'!A0", 1, -7, AT, True)).decode()
    row = list(csv.reader(io.StringIO(text, newline="")))[1]
    assert row[0] == f"'{start}cmd|' /C calc'!A0"
    # Numbers are no text, and stay numbers.
    assert row[2:4] == ["-0.000000007", "-7"]


def test_parquet_has_types_and_integers(tmp_path: Path) -> None:
    rows = as_parquet(
        tmp_path, ("=x", 2**53 + 1, 2**62 + 1, AT, False), ("", None, None, None, None)
    )
    assert rows == [
        ("=x", 2**53 + 1, Decimal(2**62 + 1).scaleb(-9), 2**62 + 1, AT, False),
        ("", None, None, None, None, None),
    ]
    made = write_parquet(COLUMNS, [], tmp_path)
    with duckdb.connect() as connection:
        types = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(made)]).fetchall()
    assert [(name, kind) for name, kind, *_ in types] == [
        ("name", "VARCHAR"),
        ("requests", "BIGINT"),
        ("cost_usd", "DECIMAL(38,9)"),
        ("cost_nano", "BIGINT"),
        ("at", "TIMESTAMP WITH TIME ZONE"),
        ("streamed", "BOOLEAN"),
    ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_any_text_comes_back_as_it_was(tmp_path: Path, texts: list[str]) -> None:
    rows = [(text, n, n, AT, True) for n, text in enumerate(texts)]
    assert [row[0] for row in as_parquet(tmp_path, *rows)] == texts
    read = list(csv.reader(io.StringIO(as_csv(*rows).decode(), newline="")))[1:]
    safe = [f"'{t}" if t.startswith(("=", "+", "-", "@", "\t", "\r")) else t for t in texts]
    assert [row[0] for row in read] == safe


def test_without_duckdb_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "find_spec", lambda _name: None)
    with pytest.raises(NoParquet, match=r"faregate\[parquet\]"):
        write_parquet(COLUMNS, [], tmp_path)


def test_many_rows_take_little_memory(tmp_path: Path) -> None:
    count = 200_000

    def batches() -> Iterator[list[tuple[Any, ...]]]:
        for start in range(0, count, 5000):
            yield [
                (f"req_{start + n:032}", n, start + n, AT + timedelta(seconds=n), False)
                for n in range(5000)
            ]

    size = sum(len(piece) for piece in csv_pieces(COLUMNS, batches()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = write_parquet(COLUMNS, batches(), tmp_path)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert size > 15_000_000
    assert grown_kib < 300 * 1024
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(*), sum(cost_nano), sum(cost_usd) FROM read_parquet(?)", [str(made)]
        ).fetchone()
    total = count * (count - 1) // 2
    assert found == (count, total, Decimal(total).scaleb(-9))
