from __future__ import annotations

import hashlib
from typing import Any

import openai
import psutil
import pytest
from openai import OpenAI

from gateway.simulator.faults import Fault
from tests.simulator.conftest import Simulated, read_to_end, request_bytes

LARGE_BYTES = 120 * 1024 * 1024
MEMORY_GROWTH_MAX = 50 * 1024 * 1024


def test_a_file_lives_until_it_is_deleted(client: OpenAI) -> None:
    content = b'{"a": "\xc3\xa9"}\r\n\r\n'
    made = client.files.create(file=("data \u00e9.jsonl", content), purpose="fine-tune")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.purpose) == ("file", len(content), "fine-tune")
    assert (made.status, made.expires_at) == ("processed", None)
    assert client.files.retrieve(made.id) == made
    got = client.files.content(made.id)
    assert got.content == content
    assert got.response.headers["content-type"] == "application/octet-stream"
    assert "data%20%C3%A9.jsonl" in got.response.headers["content-disposition"]
    assert client.files.delete(made.id).deleted
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            gone(made.id)
        assert refused.value.body["message"] == f"No such File object: {made.id}"  # type: ignore[index]


def test_lists_are_paged_by_purpose_and_order(client: OpenAI) -> None:
    made = [client.files.create(file=("e.txt", b"x"), purpose="evals").id for _ in range(5)]
    listed = client.files.list(purpose="evals", limit=2)
    assert listed.has_more
    assert [file.id for file in listed] == made[::-1]
    oldest = client.files.list(purpose="evals", order="asc", after=made[1])
    assert [file.id for file in oldest.data] == made[2:]
    everything = [file.id for file in client.files.list()]
    assert set(made) <= set(everything)


def test_expiry_is_shown_and_batch_files_have_one(client: OpenAI) -> None:
    batch = client.files.create(file=("b.jsonl", b"{}"), purpose="batch")
    assert batch.expires_at == batch.created_at + 2_592_000
    short = client.files.create(
        file=("u.txt", b"x"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert short.expires_at == short.created_at + 3_600


@pytest.mark.parametrize("purpose", ["assistants", "vision", "user_data"])
def test_some_purposes_cannot_be_downloaded(client: OpenAI, purpose: Any) -> None:
    made = client.files.create(file=("x.png", b"x"), purpose=purpose)
    with pytest.raises(openai.BadRequestError, match=f"files of purpose: {purpose}"):
        client.files.content(made.id)


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "search"},
        {"file": ("x.jsonl", b"")},
        {"file": ("x.txt", b"{}")},
        {"expires_after": {"anchor": "created_at", "seconds": 10}},
    ],
)
def test_bad_uploads_are_refused(client: OpenAI, change: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        client.files.create(**({"file": ("x.jsonl", b"{}"), "purpose": "batch"} | change))


def test_a_form_without_its_fields_is_refused(client: OpenAI) -> None:
    form: Any = {"headers": {"content-type": "multipart/form-data"}}
    for field, missing in (("other", "purpose"), ("purpose", "file")):
        with pytest.raises(openai.BadRequestError, match=f"'{missing}' is a required property"):
            client.post(
                "/files", cast_to=object, body={field: "batch"}, files={"x": b"x"}, options=form
            )


def test_a_large_file_passes_without_taking_memory(simulated: Simulated, client: OpenAI) -> None:
    piece = bytes(range(256)) * 4_096
    count = LARGE_BYTES // len(piece)
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(piece)
    process = psutil.Process(simulated.process.pid)
    before = process.memory_info().rss
    made = client.files.create(file=("large.jsonl", piece * count), purpose="fine-tune")
    assert made.bytes == LARGE_BYTES
    received = hashlib.sha256()
    with client.files.with_streaming_response.content(made.id) as answer:
        assert answer.headers["content-length"] == str(LARGE_BYTES)
        for part in answer.iter_bytes():
            received.update(part)
    assert received.digest() == digest.digest()
    assert process.memory_info().rss - before < MEMORY_GROWTH_MAX
    client.files.delete(made.id)


def test_a_form_may_come_in_chunks(simulated: Simulated, client: OpenAI) -> None:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nevals\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="c.txt"\r\n\r\n'
        b"in chunks\r\n--x--\r\n"
    )
    framed = b"".join(b"1\r\n%c\r\n" % byte for byte in form) + b"0\r\n\r\n"
    head, _, _ = request_bytes(b"", "files", connection="close").partition(b"\r\n\r\n")
    head = head.replace(b"content-length: 0", b"transfer-encoding: chunked")
    head = head.replace(b"application/json", b"multipart/form-data; boundary=x")
    with simulated.connect() as sock:
        sock.sendall(head + b"\r\n\r\n" + framed)
        answer = b""
        while more := sock.recv(65_536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 200")
    newest = client.files.list(purpose="evals", limit=1).data[0]
    assert client.files.content(newest.id).content == b"in chunks"


@pytest.mark.parametrize("size", [1_000, 3_000_000])
@pytest.mark.parametrize(
    ("fault", "was_reset"),
    [
        (Fault.RESET_MID_STREAM, True),
        (Fault.TRUNCATE_CHUNK, False),
        (Fault.RESET_AFTER_HEADERS, True),
        (Fault.RESET_BEFORE_HEADERS_CHARGED, True),
    ],
)
def test_downloads_break_as_directed(
    simulated: Simulated, client: OpenAI, fault: Fault, was_reset: bool, size: int
) -> None:
    made = client.files.create(file=("f.jsonl", b"x" * size), purpose="fine-tune")
    path = f"files/{made.id}/content"
    asked = request_bytes(b"", path, connection="close", x_sim_fault=fault)
    with simulated.connect() as sock:
        sock.sendall(asked.replace(b"POST", b"GET", 1))
        reply = read_to_end(sock)
    assert reply.was_reset == was_reset
    if fault is Fault.RESET_BEFORE_HEADERS_CHARGED:
        assert reply.data == b""
    elif fault is Fault.RESET_AFTER_HEADERS:
        assert reply.data.endswith(b"\r\n\r\n")
    else:
        assert reply.head.endswith(f"content-length: {size}")
        assert len(reply.body) == size // 2
    assert client.files.content(made.id).content == b"x" * size


def test_a_reset_before_any_work_stores_nothing(client: OpenAI) -> None:
    before = [file.id for file in client.files.list(purpose="evals")]
    with pytest.raises(openai.APIConnectionError):
        client.files.create(
            file=("x.txt", b"x"),
            purpose="evals",
            extra_headers={"x-sim-fault": Fault.RESET_BEFORE_HEADERS},
        )
    assert [file.id for file in client.files.list(purpose="evals")] == before
