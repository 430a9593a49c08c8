from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from gateway.adapters import table_files
from gateway.adapters.table_files import Column, Kind
from gateway.core.errors import ApiError, BadRequest
from gateway.web.dashboard import exports

COLUMNS = (Column("name"), Column("cost", Kind.MONEY))


@pytest.fixture
def app() -> Flask:
    return Flask("test")


def batches(count: int, walked: list[int]) -> Iterator[list[tuple[str, int]]]:
    for number in range(count):
        walked.append(number)
        yield [(f"r{number}", number)]


def test_a_file_is_walked_as_it_is_read(app: Flask) -> None:
    walked: list[int] = []
    with app.test_request_context("/x?format=csv"):
        assert exports.wanted() == "csv"
        answer = exports.as_file("csv", "things", COLUMNS, batches(50, walked))
        assert walked == [0]
        text = answer.get_data(as_text=True)
    assert walked == list(range(50))
    assert text.count("\r\n") == 51
    found = answer.headers["Content-Disposition"]
    assert found.startswith('attachment; filename="faregate-things-20')
    assert found.endswith('.csv"')


def test_what_fails_at_the_start_is_an_error_and_no_broken_file(app: Flask) -> None:
    def broken() -> Iterator[list[tuple[str, int]]]:
        raise RuntimeError("the database is away")
        yield []

    with app.test_request_context("/x"), pytest.raises(RuntimeError, match="away"):
        exports.as_file("csv", "things", COLUMNS, broken())


def test_a_parquet_file_is_gone_once_it_is_sent(app: Flask, tmp_path: Path) -> None:
    import tempfile

    with app.test_request_context("/x"), pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(tmp_path))
        answer = exports.as_file("parquet", "things", COLUMNS, batches(3, []))
        assert len(list(tmp_path.iterdir())) == 1
        data = answer.get_data()
        answer.close()
    assert data[:4] == data[-4:] == b"PAR1"
    assert int(answer.headers["Content-Length"]) == len(data)
    assert list(tmp_path.iterdir()) == []


def test_without_duckdb_it_is_said(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "find_spec", lambda _name: None)
    with app.test_request_context("/x"), pytest.raises(BadRequest, match="not installed here"):
        exports.as_file("parquet", "things", COLUMNS, batches(1, []))


def test_other_formats_do_not_exist(app: Flask) -> None:
    with app.test_request_context("/x"):
        assert exports.wanted() is None
    with app.test_request_context("/x?format=xls"), pytest.raises(ApiError, match="csv or parquet"):
        exports.wanted()
