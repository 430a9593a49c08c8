from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.rig import Faregate


def _found(faregate: Faregate, code: int = 1) -> dict[str, dict[str, str]]:
    result = faregate.run("doctor", "--offline", "--json", code=code)
    return {finding["check"]: finding for finding in json.loads(result.stdout)}


def test_a_malformed_database_url_is_a_finding(
    sqlite_faregate: Faregate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-provider")
    monkeypatch.setenv("FAREGATE_DATABASE_URL", "postgresql://user:hunter2@host:port/db")
    database = _found(sqlite_faregate)["database"]
    assert (database["state"], database["mend"]) == ("fail", "Set FAREGATE_DATABASE_URL.")
    assert "hunter2" not in str(database)


def test_a_data_folder_that_is_a_file_is_a_finding(
    sqlite_faregate: Faregate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("FAREGATE_DATABASE_URL")
    monkeypatch.setenv("FAREGATE_DATA_DIR", str(tmp_path / "file"))
    found = _found(sqlite_faregate)
    assert found["data folder"]["found"] == f"{tmp_path / 'file'} is not a folder"
    assert found["database"]["state"] == "fail"


def test_a_spool_folder_that_is_a_file_is_a_finding_also_where_both_stores_are_configured(
    sqlite_faregate: Faregate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FAREGATE_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("FAREGATE_SPOOL_DIR", str(tmp_path / "file"))
    found = _found(sqlite_faregate)
    assert found["data folder"]["state"] == "ok"
    assert found["spool folder"]["found"] == f"{tmp_path / 'file'} is not a folder"
    assert "FAREGATE_SPOOL_DIR" in found["spool folder"]["mend"]
