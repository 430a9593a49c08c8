"""Pictures: bounded by size, quality and number, and charged what the provider charged."""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import islice, product
from typing import Any

import openai
import pytest

from tests.e2e.media import (
    charged_enough,
    charged_exactly,
    form_body,
    form_headers,
    open_stream,
    png,
    send_form,
)
from tests.e2e.money import usd
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import at_once, sim

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VARIATIONS = "/v1/images/variations"
GPT = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5")
SQUARE = ("image", "square.png", "image/png", png(512, 512))


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def _wishes() -> list[dict[str, Any]]:
    """All sizes and qualities of all models, with one picture and several."""
    older: list[dict[str, Any]] = [
        {"model": "dall-e-2", "size": size, "n": n}
        for size, n in product(("256x256", "512x512", "1024x1024", None), (1, 3))
    ]
    hd: list[dict[str, Any]] = [
        {"model": "dall-e-3", "size": size, "quality": quality}
        for size, quality in product(
            ("1024x1024", "1792x1024", "1024x1792", None), ("standard", "hd", None)
        )
    ]
    gpt: list[dict[str, Any]] = [
        {"model": model, "size": size, "quality": quality, "n": n}
        for model, size, quality, n in product(
            GPT,
            ("1024x1024", "1024x1536", "1536x1024", "auto", None),
            ("low", "medium", "high", "auto", None),
            (1, 2),
        )
    ]
    return [{k: v for k, v in w.items() if v is not None} for w in (*older, *hd, *gpt)]


def test_a_corpus_of_sizes_qualities_and_numbers_is_charged_exactly(
    rig: Rig, tenant: Tenant
) -> None:
    wishes = _wishes()
    assert len(wishes) > 150

    def ask(number: int) -> str:
        body = {"prompt": f"A picture of budgets, number {number}", **wishes[number]}
        reply = tenant.caller.post(body, GENERATIONS)
        assert reply.status == 200, reply.body
        assert len(reply.json["data"]) == wishes[number].get("n", 1)
        return reply.request_id

    ids = at_once(len(wishes), ask, threads=8)
    rig.drain()
    for request_id in ids:
        charged_exactly(rig, request_id)


def test_dalle_by_the_sdk(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.images.with_raw_response.generate(
            model="dall-e-3", prompt="A cat", size="1024x1792", quality="hd"
        )
    answer = raw.parse()
    assert answer.data
    assert answer.data[0].url
    assert raw.headers["x-faregate-cost-usd"] == usd(120_000_000)
    record = charged_exactly(rig, raw.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.rows[0].images) == (120_000_000, 1)


def test_a_gpt_model_by_the_async_sdk(rig: Rig, tenant: Tenant) -> None:
    async def ask() -> Any:
        async with tenant.caller.async_sdk() as sdk:
            return await sdk.images.with_raw_response.generate(
                model="gpt-image-1", prompt="A cat", size="1024x1024", quality="low", n=2
            )

    raw = asyncio.run(ask())
    answer = raw.parse()
    assert all(base64.b64decode(image.b64_json)[:4] == b"\x89PNG" for image in answer.data)
    record = charged_exactly(rig, raw.headers["x-faregate-request-id"])
    row = record.rows[0]
    assert (row.output_tokens, row.image_output_tokens, row.images) == (544, 544, 2)
    assert record.cost_nano == row.input_tokens * 5_000 + 544 * 40_000


@pytest.mark.parametrize(
    ("fields", "model"),
    [({}, "dall-e-2"), ({"background": "opaque"}, "gpt-image-1"), ({"stream": False}, None)],
)
def test_without_a_model_the_providers_own_is_priced_and_written(
    rig: Rig, tenant: Tenant, fields: dict[str, Any], model: str | None
) -> None:
    reply = tenant.caller.post({"prompt": "A cat", "model": None, **fields}, GENERATIONS)
    assert reply.status == 200, reply.body
    record = charged_exactly(rig, reply.request_id)
    assert record.rows[0].model == (model or "gpt-image-1")
    (charge,) = rig.provider.charges()[reply.request_id]
    assert charge.requested_model == record.rows[0].model


def test_a_quality_left_to_the_provider_is_an_estimate_where_it_decides_the_price(
    rig: Rig, tenant: Tenant
) -> None:
    reply = tenant.caller.post(
        {"model": "dall-e-3", "prompt": "A cat", "quality": "auto"}, GENERATIONS
    )
    record = charged_enough(rig, reply.request_id)
    assert record.cost_nano == 80_000_000


# Edits and variations


@pytest.mark.parametrize("fidelity", ["low", "high", None])
@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-1.5"])
def test_edits_by_the_sdk(rig: Rig, tenant: Tenant, model: str, fidelity: Any) -> None:
    files = [("a.png", png(512, 512)), ("b.png", png(700, 3_000)), ("c.png", png(4_000, 30))]
    with tenant.caller.sdk() as sdk:
        raw = sdk.images.with_raw_response.edit(
            model=model,
            image=[(name, data, "image/png") for name, data in files],
            mask=("mask.png", png(512, 512), "image/png"),
            prompt="Make them one",
            size="1536x1024",
            quality="medium",
            **({} if fidelity is None else {"input_fidelity": fidelity}),
        )
    record = charged_exactly(rig, raw.headers["x-faregate-request-id"])
    assert record.rows[0].image_input_tokens > 3 * 65


def test_an_edit_by_dalle_and_a_variation(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        edit = sdk.images.with_raw_response.edit(
            image=("a.png", png(256, 256)), prompt="A hat", size="256x256", n=2
        )
        variation = sdk.images.with_raw_response.create_variation(
            image=("a.png", png(256, 256)), size="512x512", n=3
        )
    for raw, nano in ((edit, 32_000_000), (variation, 54_000_000)):
        assert charged_exactly(rig, raw.headers["x-faregate-request-id"]).cost_nano == nano


def test_a_form_as_curl_sends_it(rig: Rig, tenant: Tenant) -> None:
    fields = {"model": "gpt-image-1", "prompt": "A hat", "quality": "low", "size": "1024x1024"}
    reply = send_form(tenant.caller, EDITS, fields, [SQUARE])
    assert reply.status == 200, reply.body
    charged_exactly(rig, reply.request_id)


# Streams


@pytest.mark.parametrize("partial_images", [0, 1, 3])
def test_a_stream_by_the_sdk(rig: Rig, tenant: Tenant, partial_images: int) -> None:
    with tenant.caller.sdk() as sdk:
        stream = sdk.images.generate(
            model="gpt-image-1.5",
            prompt="A cat",
            size="1536x1024",
            quality="high",
            stream=True,
            partial_images=partial_images,
        )
        request_id = stream.response.headers["x-faregate-request-id"]
        kinds = [event.type for event in stream]
    *partials, last = kinds
    assert partials == ["image_generation.partial_image"] * partial_images
    assert last == "image_generation.completed"
    record = charged_exactly(rig, request_id)
    assert record.rows[0].output_tokens == 6_208 + 100 * partial_images


def test_a_streamed_edit_by_the_async_sdk(rig: Rig, tenant: Tenant) -> None:
    async def ask() -> tuple[str, list[str]]:
        async with tenant.caller.async_sdk() as sdk:
            stream = await sdk.images.edit(
                model="gpt-image-1",
                image=("a.png", png(512, 512), "image/png"),
                prompt="A hat",
                quality="low",
                stream=True,
                partial_images=2,
            )
            kinds = [str(event.type) async for event in stream]
            return stream.response.headers["x-faregate-request-id"], kinds

    request_id, kinds = asyncio.run(ask())
    assert kinds == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    charged_exactly(rig, request_id)


STREAMED = {
    "model": "gpt-image-1",
    "prompt": "A cat",
    "size": "1024x1024",
    "quality": "high",
    "stream": True,
    "partial_images": 3,
}


def _pictures(stream: bytes) -> list[dict[str, Any]]:
    found = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")]
    for event in found:
        event.pop("created_at")
    return found


def test_a_stream_passes_as_it_came(rig: Rig, tenant: Tenant) -> None:
    body = json.dumps(STREAMED).encode()
    direct = open_stream(rig.provider.caller(), GENERATIONS, body).all()
    through = open_stream(tenant.caller, GENERATIONS, body).all()
    assert _pictures(through) == _pictures(direct)
    assert len(_pictures(through)) == 4
    assert len(through) > len(direct)
    assert through.count(b"\n\n: faregate ") == 1


@pytest.mark.parametrize("events", [0, 1, 2])
def test_a_client_that_hangs_up_is_charged_what_was_drawn(
    rig: Rig, tenant: Tenant, events: int
) -> None:
    body = json.dumps(STREAMED).encode()
    stream = open_stream(tenant.caller, GENERATIONS, body, sim(token_interval_ms=20))
    for _ in islice(stream.events(), events):
        pass
    stream.hang_up()
    charged_exactly(rig, stream.request_id)


@pytest.mark.parametrize(
    "fault", ["reset-mid-stream", "truncate-chunk", "error-event", "no-usage", "bad-json"]
)
def test_a_broken_stream_is_charged_the_most_it_can_cost(
    rig: Rig, tenant: Tenant, fault: str
) -> None:
    body = json.dumps(STREAMED).encode()
    stream = open_stream(tenant.caller, GENERATIONS, body, sim(fault=fault))
    data = stream.all()
    record = rig.record(stream.request_id)
    if fault == "bad-json":
        # The event that is none is not the last one.
        charged_exactly(rig, stream.request_id)
        return
    assert (b'"code":"upstream_stream_broken"' in data) == (fault[:5] in ("reset", "trunc"))
    assert record.cost_nano == record.rows[0].hold_nano
    charged_enough(rig, stream.request_id)


@pytest.mark.parametrize("fault", ["no-usage", "bad-json", "reset-after-headers"])
def test_an_answer_without_usage_is_charged_the_most_it_can_cost(
    rig: Rig, tenant: Tenant, fault: str
) -> None:
    body = {"model": "gpt-image-1", "prompt": "A cat", "quality": "low", "size": "1024x1024"}
    reply = tenant.caller.post(body, GENERATIONS, fault=fault)
    record = charged_enough(rig, reply.request_id)
    assert record.cost_nano == record.rows[0].hold_nano


# Refusals


def test_a_budget_that_cannot_afford_the_pictures_refuses(rig: Rig) -> None:
    poor = rig.tenant(119_999_999)
    wish = {"model": "dall-e-3", "prompt": "A cat", "quality": "hd", "size": "1024x1792"}
    reply = poor.caller.post(wish, GENERATIONS)
    assert (reply.status, reply.error["code"]) == (429, "insufficient_quota")
    assert reply.error["budget"]["estimate_usd"] == usd(120_000_000)
    auto = {"model": "gpt-image-1", "prompt": "A cat"}
    assert poor.caller.post(auto, GENERATIONS).status == 429
    small = poor.caller.post({**auto, "quality": "low", "size": "1024x1024"}, GENERATIONS)
    assert small.status == 200, small.body
    charged_exactly(rig, small.request_id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"quality": "max"}, "quality"),
        ({"quality": ["low"]}, "quality"),
        ({"size": "4096x4096"}, "size"),
        ({"size": 1024}, "size"),
        ({"partial_images": 4, "stream": True}, "partial_images"),
        ({"stream": "true"}, "stream"),
        ({"output_format": "svg"}, "output_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"svg": {"model": "gpt-6"}}, "svg"),
        ({"complexity": "high"}, "complexity"),
        ({"frame_count": 16}, "frame_count"),
        ({"model": "gpt-image-2"}, "model"),
        ({"model": "gpt-4o"}, "model"),
        ({"model": "whisper-1"}, "model"),
        ({"model": 7}, "model"),
        ({"model": "no-such-model"}, "model"),
    ],
)
def test_what_cannot_be_bounded_is_refused(
    rig: Rig, tenant: Tenant, change: dict[str, Any], param: str
) -> None:
    reply = tenant.caller.post({"model": "gpt-image-1", "prompt": "A cat", **change}, GENERATIONS)
    assert reply.status in (400, 404), reply.body
    assert reply.error["param"] == param
    assert "x-faregate-request-id" not in reply.headers


@pytest.mark.parametrize(
    "extra",
    [
        [("n", "1"), ("n", "10")],
        [("n[]", "10")],
        [("n", " 1")],
        [("n", "1e1")],
        [("model", "gpt-image-1-mini")],
        [("quality", "low"), ("quality", "high")],
        [("size[]", "1536x1024")],
        [("stream", "TRUE")],
        [("svg[model]", "gpt-6")],
        [("image", "not a file")],
        [("partial_images", "3"), ("partial_images", "3")],
    ],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(
    tenant: Tenant, extra: list[tuple[str, str]]
) -> None:
    fields = [("model", "gpt-image-1"), ("prompt", "A hat"), *extra]
    reply = send_form(tenant.caller, EDITS, fields, [SQUARE])
    assert reply.status == 400, reply.body
    assert "x-faregate-request-id" not in reply.headers


def test_a_file_in_the_place_of_a_field_is_refused(tenant: Tenant) -> None:
    fields = {"model": "gpt-image-1", "prompt": "A hat"}
    reply = send_form(tenant.caller, EDITS, fields, [SQUARE, ("n", "n", "text/plain", b"10")])
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("path", [EDITS, VARIATIONS])
def test_json_where_a_form_is_meant(tenant: Tenant, path: str) -> None:
    assert tenant.caller.post({"model": "gpt-image-1", "prompt": "x"}, path).status == 400


def test_what_the_provider_refuses_costs_nothing(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        sdk.images.edit(model="gpt-image-1", image=("a.png", b"no picture"), prompt="A hat")
    record = rig.record(refused.value.response.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.outcome) == (0, "released")


def test_a_picture_that_cannot_be_sized_is_bounded_by_the_most(rig: Rig, tenant: Tenant) -> None:
    fields = {"model": "gpt-image-1", "prompt": "A hat", "quality": "low", "size": "1024x1024"}
    odd = ("image", "a.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(40))
    reply = send_form(tenant.caller, EDITS, fields, [odd])
    assert reply.status == 400, reply.body
    (row,) = rig.record(reply.request_id).rows
    assert row.hold_nano >= (65 + 4 * 129 + 6_240) * 10_000 + 272 * 40_000


def test_without_a_key(rig: Rig) -> None:
    body = form_body([("prompt", "x")], [SQUARE])
    reply = rig.provider.caller()
    nobody = type(reply)(rig.port, "fg-wrong")
    assert nobody.request("POST", EDITS, body, form_headers()).status == 401
