"""Transcriptions: bounded by how long a file can play, and charged what the provider charged."""

from __future__ import annotations

import asyncio
import struct
from itertools import islice
from typing import Any

import openai
import pytest

from gateway.simulator.sound import mp3, wav
from tests.e2e.media import (
    charged_enough,
    charged_exactly,
    form_body,
    form_headers,
    open_stream,
    send_form,
)
from tests.e2e.money import usd
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import at_once

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
GPT = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe")


def _file(sound: bytes = b"", name: str = "speech.wav") -> tuple[str, str, str, bytes]:
    return ("file", name, "application/octet-stream", sound or wav(2_300))


def flac(seconds: int, *, stated: int | None = None) -> bytes:
    """The first block of a file at 16 kHz, and some bytes of sound."""
    samples = 16_000 * (seconds if stated is None else stated)
    packed = 16_000 << 44 | 15 << 36 | samples
    info = bytes(10) + struct.pack(">Q", packed) + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info + bytes(seconds * 9_000)


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


# By time


@pytest.mark.parametrize(
    ("sound", "name", "seconds"),
    [
        (wav(2_000), "speech.wav", 2),
        (wav(2_001), "speech.WAV", 3),
        (wav(59_900), "speech.wav", 60),
        (mp3(2_400), "speech.mp3", 3),
        (flac(7), "speech.flac", 7),
    ],
)
def test_whisper_by_the_sdk(
    rig: Rig, tenant: Tenant, sound: bytes, name: str, seconds: int
) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.audio.transcriptions.with_raw_response.create(
            model="whisper-1", file=(name, sound), prompt="Faregate", language="en"
        )
    assert raw.parse().text
    assert raw.headers["x-faregate-cost-usd"] == usd(seconds * 100_000)
    record = charged_exactly(rig, raw.headers["x-faregate-request-id"])
    assert record.rows[0].audio_milliseconds == 1_000 * seconds


def test_the_hold_of_a_wav_is_the_cost(rig: Rig, tenant: Tenant) -> None:
    reply = send_form(tenant.caller, TRANSCRIPTIONS, {"model": "whisper-1"}, [_file()])
    assert charged_exactly(rig, reply.request_id).rows[0].hold_nano == 300_000


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_every_form_of_answer(rig: Rig, tenant: Tenant, path: str, form: str) -> None:
    fields = {"model": "whisper-1", "response_format": form}
    reply = send_form(tenant.caller, path, fields, [_file()])
    assert reply.status == 200, reply.body
    told = form == "verbose_json" or (form == "json" and path == TRANSCRIPTIONS)
    record = (charged_exactly if told else charged_enough)(rig, reply.request_id)
    # The bytes of a WAV file tell its length, so what is estimated is right too.
    assert record.cost_nano == 300_000


def test_whisper_ignores_the_wish_for_a_stream(rig: Rig, tenant: Tenant) -> None:
    fields = {"model": "whisper-1", "stream": "true"}
    reply = send_form(tenant.caller, TRANSCRIPTIONS, fields, [_file()])
    assert reply.json["text"]
    charged_exactly(rig, reply.request_id)


def test_translations_by_the_sdk(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.audio.translations.with_raw_response.create(
            model="whisper-1", file=("speech.wav", wav(2_300)), response_format="verbose_json"
        )
    charged_exactly(rig, raw.headers["x-faregate-request-id"])


# By tokens


@pytest.mark.parametrize("model", GPT)
@pytest.mark.parametrize("prompt", ["", "Names: Faregate, 예산"])
def test_gpt_models_by_the_async_sdk(rig: Rig, tenant: Tenant, model: str, prompt: str) -> None:
    async def ask() -> Any:
        async with tenant.caller.async_sdk() as sdk:
            return await sdk.audio.transcriptions.with_raw_response.create(
                model=model,
                file=("speech.wav", wav(12_345)),
                prompt=prompt,
                include=["logprobs"],
                chunking_strategy="auto",
            )

    raw = asyncio.run(ask())
    record = charged_exactly(rig, raw.headers["x-faregate-request-id"])
    assert record.rows[0].audio_input_tokens == 124
    assert raw.parse().logprobs


def test_a_text_answer_of_a_gpt_model_is_an_estimate(rig: Rig, tenant: Tenant) -> None:
    fields = {"model": GPT[0], "response_format": "text"}
    reply = send_form(tenant.caller, TRANSCRIPTIONS, fields, [_file()])
    assert reply.status == 200
    charged_enough(rig, reply.request_id)


def test_a_stream_by_the_sdk(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        stream = sdk.audio.transcriptions.create(
            model=GPT[0], file=("speech.mp3", mp3(9_000)), stream=True
        )
        request_id = stream.response.headers["x-faregate-request-id"]
        kinds = {event.type for event in stream}
    assert kinds == {"transcript.text.delta", "transcript.text.done"}
    charged_exactly(rig, request_id)


def _open(tenant: Tenant, **directed: object) -> Any:
    body = form_body([("model", GPT[0]), ("stream", "true")], [_file(wav(20_000))])
    return open_stream(tenant.caller, TRANSCRIPTIONS, body, form_headers(**directed))


@pytest.mark.parametrize("events", [0, 3])
def test_a_client_that_hangs_up_is_charged_what_was_written(
    rig: Rig, tenant: Tenant, events: int
) -> None:
    stream = _open(tenant, token_interval_ms=5)
    for _ in islice(stream.events(), events):
        pass
    stream.hang_up()
    charged_exactly(rig, stream.request_id)


@pytest.mark.parametrize("fault", ["reset-mid-stream", "truncate-chunk", "error-event", "no-usage"])
def test_a_broken_stream_is_charged_the_most_it_can_cost(
    rig: Rig, tenant: Tenant, fault: str
) -> None:
    stream = _open(tenant, fault=fault)
    stream.all()
    record = charged_enough(rig, stream.request_id)
    assert record.cost_nano == record.rows[0].hold_nano


# Holds


def test_a_corpus_stays_within_its_holds(rig: Rig, tenant: Tenant) -> None:
    sounds = [
        *((wav(length), "a.wav") for length in (100, 999, 1_000, 1_001, 30_000, 180_000)),
        *((mp3(length), "a.mp3") for length in (120, 1_000, 61_000, 400_000)),
        (b"ID3\x04\x00\x00\x00\x00\x10\x00" + bytes(2_048) + mp3(5_000), "a.mp3"),
        (mp3(5_000) + b"TAG" + bytes(125), "a.mp3"),
        (flac(1), "a.flac"),
        (flac(200), "a.flac"),
        # Names that say something else, or nothing.
        (wav(5_000), "a.mp3"),
        (mp3(5_000), "a"),
        (mp3(5_000), "a.webm"),
        (wav(5_000)[:40] + b"\xff\xff\xff\xff" + wav(5_000)[44:], "stream.wav"),
        (wav(5_000)[:40] + b"\x00\x00\x01\x00" + wav(5_000)[44:], "short.wav"),
    ]
    models = ("whisper-1", *GPT)

    def ask(number: int) -> str:
        sound, name = sounds[number // len(models)]
        fields = {"model": models[number % len(models)]}
        reply = send_form(tenant.caller, TRANSCRIPTIONS, fields, [_file(sound, name)])
        assert reply.status == 200, (name, reply.body)
        return reply.request_id

    ids = at_once(len(sounds) * len(models), ask, threads=6)
    rig.drain()
    for request_id in ids:
        charged_exactly(rig, request_id)


# Refusals


def test_a_budget_that_cannot_afford_the_recording_refuses(rig: Rig) -> None:
    poor = rig.tenant(299_999)
    reply = send_form(poor.caller, TRANSCRIPTIONS, {"model": "whisper-1"}, [_file()])
    assert (reply.status, reply.error["code"]) == (429, "insufficient_quota")
    shorter = send_form(poor.caller, TRANSCRIPTIONS, {"model": "whisper-1"}, [_file(wav(2_000))])
    assert shorter.status == 200


@pytest.mark.parametrize("extra", [1, 9 * 1024 * 1024])
def test_a_file_that_is_too_large_is_refused(tenant: Tenant, extra: int) -> None:
    sound = _file(wav(1_000) + bytes(25 * 1024 * 1024 + extra))
    reply = send_form(tenant.caller, TRANSCRIPTIONS, {"model": "whisper-1"}, [sound])
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert "x-faregate-request-id" not in reply.headers


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ([], [_file()]),
        ([("model", "whisper-1")], []),
        ([("model", "whisper-1")], [_file(), _file()]),
        ([("model", "whisper-1"), ("model", GPT[0])], [_file()]),
        ([("model[]", "whisper-1")], [_file()]),
        ([("model", "whisper-1"), ("file", "x")], []),
        ([("model", "whisper-1")], [_file(), ("model", "m", "text/plain", GPT[0].encode())]),
        ([("model", "whisper-1"), ("response_format", "xml")], [_file()]),
        ([("model", GPT[0]), ("stream", "yes")], [_file()]),
        ([("model", "tts-1")], [_file()]),
        ([("model", "dall-e-3")], [_file()]),
    ],
)
def test_bad_forms_are_refused(
    tenant: Tenant, fields: list[tuple[str, str]], files: list[Any]
) -> None:
    reply = send_form(tenant.caller, TRANSCRIPTIONS, fields, files)
    assert reply.status == 400, reply.body
    assert reply.error["type"] == "invalid_request_error"
    assert "x-faregate-request-id" not in reply.headers


@pytest.mark.parametrize("body", [b"", b"--", b"{}", b"--x\r\n\r\n\r\n--x--", bytes(1_000)])
def test_what_is_no_form_is_refused(tenant: Tenant, body: bytes) -> None:
    reply = tenant.caller.request("POST", TRANSCRIPTIONS, body, form_headers())
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"


def test_a_client_may_only_use_its_models(rig: Rig) -> None:
    limited = rig.tenant(10**12, allowed_models=("gpt-4o-mini",))
    reply = send_form(limited.caller, TRANSCRIPTIONS, {"model": "whisper-1"}, [_file()])
    assert (reply.status, reply.error["code"]) == (403, "model_not_allowed")


def test_what_the_provider_refuses_costs_nothing(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        sdk.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"no sound"))
    record = rig.record(refused.value.response.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.outcome) == (0, "released")
