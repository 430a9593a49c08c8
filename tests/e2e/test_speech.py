"""Speech: by the character exactly, by tokens exactly where they are told, else from above."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.media import charged_enough, charged_exactly, open_stream
from tests.e2e.money import usd
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import at_once, sim

SPEECH = "/v1/audio/speech"
TEXT = "Budgets hold, whoever speaks. 예산은 지켜집니다."


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def _body(model: str = "gpt-4o-mini-tts", **rest: Any) -> dict[str, Any]:
    return {"model": model, "voice": "alloy", "input": TEXT, **rest}


@pytest.mark.parametrize(("model", "nano"), [("tts-1", 15_000), ("tts-1-hd", 30_000)])
@pytest.mark.parametrize("form", ["mp3", "wav", "pcm"])
def test_characters_are_charged_exactly(
    rig: Rig, tenant: Tenant, model: str, nano: int, form: Any
) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.audio.speech.with_raw_response.create(
            model=model, voice="alloy", input=TEXT, response_format=form, speed=2.0
        )
    assert raw.headers["x-faregate-cost-usd"] == usd(nano * len(TEXT))
    direct = rig.provider.caller().post(_body(model, response_format=form, speed=2.0), SPEECH)
    assert raw.content == direct.body
    assert raw.headers["content-type"] == direct.headers["content-type"]
    record = charged_exactly(rig, raw.headers["x-faregate-request-id"])
    assert record.rows[0].characters == len(TEXT)


def test_the_async_sdk_streams_to_a_file(rig: Rig, tenant: Tenant, tmp_path: Any) -> None:
    async def speak() -> str:
        async with (
            tenant.caller.async_sdk() as sdk,
            sdk.audio.speech.with_streaming_response.create(
                model="tts-1", voice="alloy", input=TEXT
            ) as answer,
        ):
            await answer.stream_to_file(tmp_path / "speech.mp3")
            return answer.headers["x-faregate-request-id"]

    charged_exactly(rig, asyncio.run(speak()))
    assert (tmp_path / "speech.mp3").stat().st_size > 1_000


@pytest.mark.parametrize("fault", ["", "reset-mid-stream", "truncate-chunk"])
def test_characters_are_charged_exactly_however_the_answer_ends(
    rig: Rig, tenant: Tenant, fault: str
) -> None:
    directed = sim(fault=fault) if fault else sim(token_interval_ms=20)
    stream = open_stream(tenant.caller, SPEECH, json.dumps(_body("tts-1")).encode(), directed)
    assert stream.status == 200
    stream.hang_up()
    charged_exactly(rig, stream.request_id)


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
def test_a_retry_after_a_lost_connection_gets_the_sound_and_is_billed_once(
    rig: Rig, tenant: Tenant, model: str
) -> None:
    body = json.dumps(_body(model, response_format="wav")).encode()
    key = {"idempotency-key": f"speech-{model}"}
    stream = open_stream(tenant.caller, SPEECH, body, {**key, **sim(token_interval_ms=20)})
    stream.hang_up()
    rig.drain()
    again = tenant.caller.request("POST", SPEECH, body, {"content-type": "application/json", **key})
    assert again.status == 200, again.body
    assert again.headers["x-faregate-idempotent-replay"] == "true"
    assert again.body == rig.provider.caller().post(body, SPEECH).body
    truth = rig.truth_nano(stream.request_id)
    assert rig.record(stream.request_id).cost_nano >= truth > 0


# By tokens


@pytest.mark.parametrize("instructions", [None, "Whisper."])
def test_events_report_what_they_cost(rig: Rig, tenant: Tenant, instructions: str | None) -> None:
    body = _body(stream_format="sse", response_format="wav")
    if instructions:
        body["instructions"] = instructions
    stream = open_stream(tenant.caller, SPEECH, json.dumps(body).encode())
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert b'"type":"speech.audio.done"' in stream.all()
    record = charged_exactly(rig, stream.request_id)
    assert record.rows[0].audio_output_tokens == record.rows[0].output_tokens > 0


@pytest.mark.parametrize("form", ["mp3", "wav", "pcm"])
@pytest.mark.parametrize("speed", [0.25, 1, 4])
@pytest.mark.parametrize("length", [1, 150, 4_096])
def test_sound_in_bytes_is_charged_by_its_length(
    rig: Rig, tenant: Tenant, form: str, speed: float, length: int
) -> None:
    body = _body(input="x" * length, response_format=form, speed=speed)
    reply = tenant.caller.post(body, SPEECH)
    assert reply.status == 200, reply.error
    record = charged_enough(rig, reply.request_id)
    truth = rig.truth_nano(reply.request_id)
    # A frame, a header and the framing of the text more than the truth, but not the hold.
    assert truth <= record.cost_nano <= truth + 200_000
    assert record.rows[0].reason == "usage_not_reported"


def test_many_texts_stay_within_their_holds(rig: Rig, tenant: Tenant) -> None:
    texts = ["7" * 40, "예" * 300, "W. " * 100, "🎈" * 50, "word " * 700, "\n" * 9 + "x"]

    def speak(number: int) -> str:
        body = _body(
            input=texts[number % len(texts)],
            response_format=("mp3", "wav", "pcm")[number % 3],
            **({"instructions": "Slowly."} if number % 2 else {}),
        )
        reply = tenant.caller.post(body, SPEECH)
        assert reply.status == 200, reply.body
        return reply.request_id

    ids = at_once(30, speak, threads=8)
    rig.drain()
    for request_id in ids:
        charged_enough(rig, request_id)


def test_a_client_that_hangs_up_is_charged_what_was_spoken(rig: Rig, tenant: Tenant) -> None:
    """People interrupt what speaks to them, so this must not cost them the hold."""
    body = json.dumps(_body(response_format="pcm", input="x" * 100)).encode()
    stream = open_stream(tenant.caller, SPEECH, body, sim(token_interval_ms=20))
    stream.hang_up()
    record = charged_enough(rig, stream.request_id)
    assert record.cost_nano < record.rows[0].hold_nano


def test_without_any_drain_a_hang_up_is_charged_the_most(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, drain_streams_max=0)
    tenant = rig.tenant(10**12)
    body = json.dumps(_body(response_format="pcm", input="x" * 300)).encode()
    stream = open_stream(tenant.caller, SPEECH, body, sim(token_interval_ms=20))
    stream.hang_up()
    record = charged_enough(rig, stream.request_id)
    assert record.cost_nano == record.rows[0].hold_nano


@pytest.mark.parametrize("fault", ["reset-mid-stream", "truncate-chunk"])
@pytest.mark.parametrize("as_events", [False, True])
def test_a_broken_answer_is_charged_the_most_it_can_cost(
    rig: Rig, tenant: Tenant, fault: str, as_events: bool
) -> None:
    body = _body(stream_format="sse" if as_events else "audio")
    stream = open_stream(tenant.caller, SPEECH, json.dumps(body).encode(), sim(fault=fault))
    stream.hang_up()
    record = charged_enough(rig, stream.request_id)
    assert record.cost_nano == record.rows[0].hold_nano


# Refusals


def test_a_budget_that_cannot_afford_the_speech_refuses(rig: Rig) -> None:
    poor = rig.tenant(15_000 * len(TEXT) - 1)
    reply = poor.caller.post(_body("tts-1"), SPEECH)
    assert (reply.status, reply.error["code"]) == (429, "insufficient_quota")
    shorter = poor.caller.post(_body("tts-1", input=TEXT[:-1]), SPEECH)
    assert shorter.status == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["x"]}, "input"),
        ({"input": "x" * 4_097}, "input"),
        ({"speed": "fast"}, "speed"),
        ({"speed": 0.1}, "speed"),
        ({"speed": True}, "speed"),
        ({"instructions": {}}, "instructions"),
        ({"response_format": 3}, "response_format"),
        ({"stream_format": 1}, "stream_format"),
        ({"model": None}, "model"),
        ({"model": "dall-e-3"}, "model"),
        ({"model": "whisper-1"}, "model"),
    ],
)
def test_what_cannot_be_bounded_is_refused(
    tenant: Tenant, change: dict[str, Any], param: str
) -> None:
    reply = tenant.caller.post(_body(**change), SPEECH)
    assert reply.status == 400, reply.body
    assert reply.error["param"] == param
    assert "x-faregate-request-id" not in reply.headers


@pytest.mark.parametrize(
    "change",
    [{"voice": None}, {"voice": "nobody"}, {"response_format": "midi"}, {"input": "\ud800"}],
)
def test_what_the_provider_refuses_costs_nothing(
    rig: Rig, tenant: Tenant, change: dict[str, Any]
) -> None:
    reply = tenant.caller.post(_body(**change), SPEECH)
    assert reply.status == 400, reply.body
    rig.drain()
    mine = [r for r in rig.records().values() if r.rows[0].client_id == tenant.id]
    assert all(record.cost_nano == 0 for record in mine if record.status == 400)


def test_a_stream_of_a_model_without_streams(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        sdk.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, stream_format="sse")
    record = rig.record(refused.value.response.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.outcome) == (0, "released")
