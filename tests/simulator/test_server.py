from __future__ import annotations

import json
from contextlib import closing

import pytest

from gateway.adapters.tokenizer import Tokenizer
from tests.simulator.conftest import KEY, Simulated, chunks, question, request_bytes, text_of


def test_every_event_is_a_chunk_and_the_stream_ends_in_done(
    simulated: Simulated, tokenizer: Tokenizer
) -> None:
    body = question(stream=True, stream_options={"include_usage": True})
    reply = simulated.raw(body)
    assert "content-type: text/event-stream; charset=utf-8" in reply.head
    events, ended = chunks(reply.data.partition(b"\r\n\r\n")[2])
    assert ended
    assert all(e.startswith(b"data: ") and e.endswith(b"\n\n") for e in events)
    assert all(e.count(b"\n") == 2 for e in events)
    assert events[-1] == b"data: [DONE]\n\n"
    parsed = [json.loads(event[6:]) for event in events[:-1]]
    assert parsed[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert all(event["usage"] is None for event in parsed[:-1])
    assert parsed[-2]["choices"][0]["finish_reason"] == "stop"
    spoken = tokenizer.count(text_of(events), "o200k_base")
    assert parsed[-1]["usage"]["completion_tokens"] == spoken == len(parsed) - 3


def test_a_stream_says_nothing_of_usage_unasked(simulated: Simulated) -> None:
    assert b'"usage"' not in simulated.raw(question(stream=True)).body


def test_provider_headers_are_sent(simulated: Simulated) -> None:
    head = simulated.raw(question()).head
    for name in (
        "x-request-id: req_",
        "openai-organization: ",
        "openai-processing-ms: ",
        "openai-version: 2020-10-01",
        "x-ratelimit-remaining-tokens: ",
        "set-cookie: __cf_bm=",
    ):
        assert f"\r\n{name}" in head


def test_a_connection_serves_many_requests_even_sent_at_once(simulated: Simulated) -> None:
    one = request_bytes(question())
    last = request_bytes(question(stream=True), connection="close")
    with closing(simulated.connect()) as sock:
        sock.sendall(one + one + last)
        data = b""
        while more := sock.recv(65_536):
            data += more
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_chunked_request_is_read(simulated: Simulated) -> None:
    content = json.dumps(question()).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        "content-type: application/json\r\nconnection: close\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    ).encode()
    framed = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, content[:9], len(content) - 9, content[9:])
    with closing(simulated.connect()) as sock:
        sock.sendall(head + framed)
        assert sock.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/3\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"],
)
def test_what_is_not_http_is_refused(simulated: Simulated, sent: bytes) -> None:
    with closing(simulated.connect()) as sock:
        sock.sendall(sent)
        assert sock.recv(12) == b"HTTP/1.1 400"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"a": NaN}'])
def test_what_is_not_a_json_object_is_refused(simulated: Simulated, body: bytes) -> None:
    assert simulated.raw(body).status == 400
