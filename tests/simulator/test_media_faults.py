"""The faults of ``test_faults``, on answers that are pictures, sound and text of sound."""

from __future__ import annotations

import gzip
import json
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from gateway.simulator.faults import Fault
from gateway.simulator.sound import wav
from tests.simulator.conftest import RawReply, Simulated, chunks, request_bytes

IMAGE = {
    "model": "gpt-image-1",
    "prompt": "x",
    "size": "1024x1024",
    "quality": "low",
    "stream": True,
}
IMAGE_TOKENS = 272
SPEECH = {
    "model": "gpt-4o-mini-tts",
    "voice": "alloy",
    "input": "x" * 150,
    "response_format": "pcm",
}
SPEECH_TOKENS = 209
"""150 characters are ten seconds."""
BOUNDARY = "boundary-of-the-test"


def _form(stream: bool, form: str = "json") -> bytes:
    fields = {"model": "gpt-4o-transcribe", "response_format": form, "stream": str(stream).lower()}
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return "".join(parts).encode() + wav(8_000) + f"\r\n--{BOUNDARY}--\r\n".encode()


def _break(
    simulated: Simulated, fault: Fault, path: str, body: Any, **headers: str
) -> tuple[RawReply, str]:
    mark = uuid4().hex
    if isinstance(body, bytes):
        headers["Content_Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    reply = simulated.raw(body, path, x_sim_fault=fault, x_client_request_id=mark, **headers)
    return reply, mark


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK, Fault.ERROR_EVENT])
def test_a_broken_stream_of_pictures_is_charged_for_what_was_drawn(
    simulated: Simulated, fault: Fault
) -> None:
    body = IMAGE | {"partial_images": 3}
    reply, mark = _break(simulated, fault, "images/generations", body)
    assert reply.was_reset == (fault is Fault.RESET_MID_STREAM)
    assert b"image_generation.completed" not in reply.data
    (charge,) = simulated.charges_of_client(mark)
    assert not charge.finished
    # One of three partial images and the finished one: a quarter.
    assert charge.completion_tokens == (IMAGE_TOKENS + 300) // 4
    assert charge.prompt_tokens > 0


@pytest.mark.parametrize("partials", [0, 2])
def test_a_stream_of_pictures_can_lack_its_usage(simulated: Simulated, partials: int) -> None:
    body = IMAGE | {"partial_images": partials}
    reply, mark = _break(simulated, Fault.NO_USAGE, "images/generations", body)
    last = json.loads(reply.body.split(b"\n\n")[-2].partition(b"data: ")[2])
    assert (last["type"], "usage" in last) == ("image_generation.completed", False)
    assert last["b64_json"]
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == IMAGE_TOKENS + 100 * partials


@pytest.mark.parametrize("partials", [0, 2])
def test_a_stream_of_pictures_can_hold_an_event_that_is_no_json(
    simulated: Simulated, partials: int
) -> None:
    body = IMAGE | {"partial_images": partials}
    reply, mark = _break(simulated, Fault.BAD_JSON, "images/generations", body)
    broken = 0
    for event in reply.body.split(b"\n\n")[:-1]:
        try:
            json.loads(event.partition(b"data: ")[2])
        except ValueError:
            broken += 1
    assert broken == 1
    assert simulated.charges_of_client(mark)[0].finished


def test_a_whole_picture_compressed(simulated: Simulated) -> None:
    body = IMAGE | {"stream": False}
    reply, _ = _break(simulated, Fault.GZIP, "images/generations", body)
    assert json.loads(gzip.decompress(reply.body))["usage"]["output_tokens"] == IMAGE_TOKENS


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK])
def test_broken_speech_is_charged_for_what_was_spoken(simulated: Simulated, fault: Fault) -> None:
    reply, mark = _break(simulated, fault, "audio/speech", SPEECH)
    pieces, ended = chunks(reply.data.partition(b"\r\n\r\n")[2])
    assert not ended
    (charge,) = simulated.charges_of_client(mark)
    assert not charge.finished
    # Ten of 21 pieces of 480 ms.
    assert (len(pieces), charge.completion_tokens) == (10, 100)


def test_broken_speech_by_characters_is_charged_in_full(simulated: Simulated) -> None:
    body = SPEECH | {"model": "tts-1"}
    _, mark = _break(simulated, Fault.RESET_MID_STREAM, "audio/speech", body)
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.units, charge.completion_tokens) == ({"characters": 150}, 0)


def test_bare_sound_cannot_hold_an_error_event(simulated: Simulated) -> None:
    reply, mark = _break(simulated, Fault.ERROR_EVENT, "audio/speech", SPEECH)
    assert reply.status == 500
    assert not simulated.charges_of_client(mark)


def test_speech_events_can_lack_their_usage(simulated: Simulated) -> None:
    body = SPEECH | {"stream_format": "sse"}
    reply, mark = _break(simulated, Fault.NO_USAGE, "audio/speech", body)
    assert reply.body.endswith(b'data: {"type":"speech.audio.done"}\n\n')
    assert simulated.charges_of_client(mark)[0].completion_tokens == SPEECH_TOKENS


def test_a_leaving_listener_pays_for_what_was_sent(simulated: Simulated) -> None:
    mark = uuid4().hex
    with closing(simulated.connect()) as sock:
        sock.sendall(
            request_bytes(
                SPEECH, "audio/speech", x_client_request_id=mark, x_sim_token_interval_ms="20"
            )
        )
        data = b""
        while len(data) < 48_000:
            data += sock.recv(65_536)
    while not (charges := simulated.charges_of_client(mark)):
        time.sleep(0.01)
    assert not charges[0].finished
    assert 10 <= charges[0].completion_tokens < SPEECH_TOKENS


@pytest.mark.parametrize("stream", [False, True])
def test_a_transcription_can_lack_its_usage(simulated: Simulated, stream: bool) -> None:
    reply, mark = _break(simulated, Fault.NO_USAGE, "audio/transcriptions", _form(stream))
    assert b'"usage"' not in reply.body
    assert b'"text"' in reply.body
    assert simulated.charges_of_client(mark)[0].audio_prompt_tokens == 80


def test_a_plain_transcription_has_no_usage_to_lack(simulated: Simulated) -> None:
    body = _form(False, "text")
    reply, _ = _break(simulated, Fault.NO_USAGE, "audio/transcriptions", body)
    assert reply.status == 200
    assert reply.body.endswith(b".\n")


def test_a_broken_transcription_is_charged_for_the_text_so_far(simulated: Simulated) -> None:
    body = _form(True)
    wish = {"x_sim_output_tokens": "40"}
    reply, mark = _break(simulated, Fault.RESET_MID_STREAM, "audio/transcriptions", body, **wish)
    assert reply.was_reset
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.audio_prompt_tokens, charge.finished) == (80, False)
    assert 0 < charge.completion_tokens < 40
