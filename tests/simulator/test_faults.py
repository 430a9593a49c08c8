from __future__ import annotations

import gzip
import json
import time
from contextlib import closing, suppress
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.errors import ProviderError
from gateway.simulator.faults import Directives, Fault, directives_for
from tests.simulator.conftest import RawReply, Simulated, chunks, question, request_bytes, text_of

FAULTS_THAT_END_CLEAN = (Fault.BAD_JSON, Fault.NO_USAGE, Fault.CLOSE_IDLE, Fault.GZIP)
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
TOKENS = 40


def _break(simulated: Simulated, fault: Fault, *, stream: bool) -> tuple[RawReply, str]:
    """A request with an injected fault, and the id to find its charge by."""
    mark = uuid4().hex
    reply = simulated.raw(
        question(**(STREAM if stream else {})),
        x_sim_fault=fault,
        x_sim_output_tokens=str(TOKENS),
        x_client_request_id=mark,
    )
    return reply, mark


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "charges"),
    [(Fault.RESET_BEFORE_HEADERS, 0), (Fault.RESET_BEFORE_HEADERS_CHARGED, 1)],
)
def test_reset_before_headers(
    simulated: Simulated, fault: Fault, charges: int, stream: bool
) -> None:
    reply, mark = _break(simulated, fault, stream=stream)
    assert reply == RawReply(b"", was_reset=True)
    assert len(simulated.charges_of_client(mark)) == charges


@pytest.mark.parametrize("stream", [False, True])
def test_reset_after_headers(simulated: Simulated, stream: bool) -> None:
    reply, mark = _break(simulated, Fault.RESET_AFTER_HEADERS, stream=stream)
    assert reply.was_reset
    assert reply.data.endswith(b"\r\n\r\n")
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == TOKENS


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK])
def test_a_whole_answer_breaks_half_way_and_is_charged(simulated: Simulated, fault: Fault) -> None:
    reply, mark = _break(simulated, fault, stream=False)
    assert reply.was_reset == (fault is Fault.RESET_MID_STREAM)
    announced = int(reply.head.partition("content-length: ")[2].split()[0])
    assert len(reply.body) == announced // 2
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == TOKENS


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK, Fault.ERROR_EVENT])
def test_a_stream_breaks_half_way_and_is_charged_so_far(
    simulated: Simulated, tokenizer: Tokenizer, fault: Fault
) -> None:
    reply, mark = _break(simulated, fault, stream=True)
    assert reply.was_reset == (fault is Fault.RESET_MID_STREAM)
    events, ended = chunks(reply.data.partition(b"\r\n\r\n")[2])
    assert ended == (fault is Fault.ERROR_EVENT)
    if fault is Fault.ERROR_EVENT:
        assert "error" in json.loads(events.pop()[6:])
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == tokenizer.count(text_of(events), "o200k_base")
    assert 0 < charge.completion_tokens < TOKENS
    assert not charge.finished


@pytest.mark.parametrize("stream", [False, True])
def test_a_hanging_answer_is_charged_while_it_hangs(simulated: Simulated, stream: bool) -> None:
    mark = uuid4().hex
    body = question(**(STREAM if stream else {}))
    with closing(simulated.connect()) as sock:
        sock.sendall(request_bytes(body, x_sim_fault="hang", x_client_request_id=mark))
        while not (charges := simulated.charges_of_client(mark)):
            time.sleep(0.01)
        sock.settimeout(0.1)
        received = b""
        with suppress(TimeoutError):
            while more := sock.recv(65_536):
                received += more
            pytest.fail("the connection ended instead of hanging")
    assert bool(received) == stream
    assert charges[0].finished == (not stream)


def test_bad_json(simulated: Simulated) -> None:
    reply, mark = _break(simulated, Fault.BAD_JSON, stream=False)
    with pytest.raises(ValueError, match=r".+"):
        json.loads(reply.body)
    assert len(simulated.charges_of_client(mark)) == 1
    reply, mark = _break(simulated, Fault.BAD_JSON, stream=True)
    broken = 0
    for event in reply.body.split(b"\n\n")[:-2]:
        try:
            json.loads(event[6:])
        except ValueError:
            broken += 1
    assert broken == 1
    assert len(simulated.charges_of_client(mark)) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_usage_can_be_missing_though_charged(simulated: Simulated, stream: bool) -> None:
    reply, mark = _break(simulated, Fault.NO_USAGE, stream=stream)
    assert b'"prompt_tokens"' not in reply.body
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == TOKENS


@pytest.mark.parametrize("stream", [False, True])
def test_compressed_answers_are_the_same(simulated: Simulated, stream: bool) -> None:
    reply, _ = _break(simulated, Fault.GZIP, stream=stream)
    assert "content-encoding: gzip" in reply.head
    body = gzip.decompress(reply.body)
    if stream:
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(body)["usage"]["completion_tokens"] == TOKENS


def test_the_done_mark_can_be_missing(simulated: Simulated) -> None:
    reply, mark = _break(simulated, Fault.MISSING_DONE, stream=True)
    assert b"[DONE]" not in reply.data
    assert b'"prompt_tokens"' in reply.data
    assert simulated.charges_of_client(mark)[0].finished


def test_an_idle_connection_can_be_closed_unannounced(simulated: Simulated) -> None:
    with closing(simulated.connect()) as sock:
        sock.sendall(request_bytes(question(), x_sim_fault="close-idle"))
        data = b""
        while more := sock.recv(65_536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"connection: close" not in head
    assert json.loads(body)["usage"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, openai.RateLimitError), (500, openai.InternalServerError), (404, openai.NotFoundError)],
)
def test_an_error_status_charges_nothing(
    simulated: Simulated, client: OpenAI, status: int, kind: type[openai.APIStatusError]
) -> None:
    mark = uuid4().hex
    with pytest.raises(kind) as failed:
        client.chat.completions.create(
            **question(metadata={"sim_status": str(status)}),
            extra_headers={"x-client-request-id": mark},
        )
    assert ("retry-after" in failed.value.response.headers) == (status == 429)
    assert not simulated.charges_of_client(mark)


def test_what_a_leaving_client_got_and_no_more_than_all_is_charged(simulated: Simulated) -> None:
    mark = uuid4().hex
    wish = {"x_sim_token_interval_ms": "5", "x_sim_output_tokens": "2000"}
    with closing(simulated.connect()) as sock:
        sock.sendall(request_bytes(question(**STREAM), x_client_request_id=mark, **wish))
        data = b""
        while data.count(b"data: ") < 10:
            data += sock.recv(65_536)
    got = data.count(b"data: ") - 1
    while not (charges := simulated.charges_of_client(mark)):
        time.sleep(0.01)
    (charge,) = charges
    assert not charge.finished
    assert got <= charge.completion_tokens < 2_000


def test_a_header_wins_over_metadata_and_metadata_over_flags() -> None:
    flags = Directives(latency_ms=1, token_interval_ms=2, first_byte_ms=3)
    metadata = {"sim_latency_ms": "10", "sim_token_interval_ms": 20, "other": "x"}
    headers = {"x-sim-latency-ms": "100", "x-sim-fault": "hang"}
    assert directives_for(headers, metadata, flags) == Directives(
        latency_ms=100, token_interval_ms=20, first_byte_ms=3, fault=Fault.HANG
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "200"), ("status", "abc"), ("latency-ms", "-1"), ("output-tokens", "99999999999")],
)
def test_directives_that_make_no_sense_are_refused(name: str, value: str) -> None:
    with pytest.raises(ProviderError):
        directives_for({f"x-sim-{name}": value}, None, Directives())
