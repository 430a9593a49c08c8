from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.simulator import batch_input
from gateway.simulator.batch_input import read_batch_input
from gateway.simulator.blobs import Blob

CHAT = "/v1/chat/completions"


def line(custom_id: Any = "a", **rest: Any) -> bytes:
    row = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "gpt-4o-mini"}}
    return json.dumps(row | rest).encode() + b"\n"


def test_lines_are_read_and_empty_ones_passed_over() -> None:
    read = read_batch_input(Blob(line("a") + b"\n" + line("b", extra=1)), CHAT)
    assert [entry.custom_id for entry in read.lines] == ["a", "b"]
    assert json.loads(read.lines[0].body) == {"model": "gpt-4o-mini"}
    assert (read.errors, read.model) == ([], "gpt-4o-mini-2024-07-18")


@pytest.mark.parametrize(
    ("content", "code", "param", "number"),
    [
        (b"", "empty_file", None, None),
        (line() + b"{oops\n", "invalid_json_line", None, 2),
        (line() + b"[]\n", "invalid_json_line", None, 2),
        (line() + line(), "duplicate_custom_id", "custom_id", 2),
        (line(None), "missing_required_parameter", "custom_id", 1),
        (line(body=None), "missing_required_parameter", "body", 1),
        (line(method="GET"), "invalid_method", "method", 1),
        (line(url="/v1/embeddings"), "invalid_url", "url", 1),
        (line(body={"model": "gpt-99"}), "model_not_found", "body.model", 1),
        (line() + line("b", body={"model": "gpt-4o"}), "mismatched_model", "body.model", 2),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    content: bytes, code: str, param: str | None, number: int | None
) -> None:
    (error,) = read_batch_input(Blob(content), CHAT).errors
    assert (error["code"], error["param"], error["line"]) == (code, param, number)
    assert error["message"]


def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_input, "LINES_MAX", 2)
    monkeypatch.setattr(batch_input, "EMBEDDING_INPUTS_MAX", 3)
    many = b"".join(line(str(number)) for number in range(3))
    assert read_batch_input(Blob(many), CHAT).errors[0]["code"] == "too_many_tasks"
    inputs = line(url="/v1/embeddings", body={"input": ["x"] * 4})
    assert read_batch_input(Blob(inputs), "/v1/embeddings").errors[0]["code"] == "too_many_tasks"
    monkeypatch.setattr(batch_input, "BATCH_BYTES_MAX", 10)
    assert read_batch_input(Blob(many), CHAT).errors[0]["code"] == "file_too_large"
    wrong = Blob(b"x\n" * 500)
    monkeypatch.setattr(batch_input, "BATCH_BYTES_MAX", 10_000)
    assert len(read_batch_input(wrong, CHAT).errors) == batch_input.ERRORS_MAX
