from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import ImagesResponse

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.picture import draw_png
from gateway.simulator.truth import Charge
from tests.simulator.conftest import Simulated
from tests.simulator.png import decode_png

PROMPT = "A budget that holds"
SQUARE = ("a.png", draw_png(1_024, 1_024, 1), "image/png")
OBLONG = ("b.png", draw_png(1_536, 1_024, 2), "image/png")


@pytest.fixture
def text_tokens(tokenizer: Tokenizer) -> int:
    return tokenizer.count(PROMPT, "o200k_base")


def _asked(
    simulated: Simulated, client: OpenAI, verb: str = "generate", **wish: Any
) -> tuple[ImagesResponse, Charge]:
    call = getattr(client.images.with_raw_response, verb)
    response = call(**wish)
    return response.parse(), simulated.charge(response.headers["x-request-id"])


def _sizes(answer: ImagesResponse) -> list[tuple[int, int]]:
    entries = answer.data or []
    return [decode_png(base64.b64decode(entry.b64_json or ""))[:2] for entry in entries]


def test_old_models_are_charged_by_the_picture(simulated: Simulated, client: OpenAI) -> None:
    answer, charge = _asked(
        simulated,
        client,
        model="dall-e-2",
        prompt=PROMPT,
        n=3,
        size="256x256",
        response_format="b64_json",
    )
    assert _sizes(answer) == [(256, 256)] * 3
    assert answer.usage is None
    assert (charge.endpoint, charge.units, charge.variant) == (
        "images/generations",
        {"images": 3},
        "256x256",
    )
    assert (charge.model, charge.prompt_tokens, charge.completion_tokens) == ("dall-e-2", 0, 0)


@pytest.mark.parametrize(("quality", "variant"), [("hd", "hd-1024x1792"), (None, "1024x1792")])
def test_a_link_leads_to_the_picture(
    simulated: Simulated, client: OpenAI, quality: Any, variant: str
) -> None:
    answer, charge = _asked(
        simulated, client, model="dall-e-3", prompt=PROMPT, size="1024x1792", quality=quality
    )
    assert answer.data is not None
    (entry,) = answer.data
    assert entry.url is not None
    assert entry.revised_prompt is not None
    assert PROMPT in entry.revised_prompt
    with urllib.request.urlopen(entry.url) as page:
        assert page.headers["content-type"] == "image/png"
        assert decode_png(page.read())[:2] == (1_024, 1_792)
    assert (charge.units, charge.variant) == ({"images": 1}, variant)


@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5"])
def test_gpt_models_are_charged_by_tokens(
    simulated: Simulated, client: OpenAI, text_tokens: int, model: str
) -> None:
    answer, charge = _asked(
        simulated,
        client,
        model=model,
        prompt=PROMPT,
        n=2,
        size="1536x1024",
        quality="medium",
        background="transparent",
        user="u-1",
    )
    assert _sizes(answer) == [(1_536, 1_024)] * 2
    shown = (answer.size, answer.quality, answer.background, answer.output_format)
    assert shown == ("1536x1024", "medium", "transparent", "png")
    assert answer.safety_identifier == "u-1"
    assert answer.usage is not None
    assert answer.usage.to_dict() == {
        "input_tokens": text_tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": text_tokens},
        "output_tokens": 2 * 1_568,
        "output_tokens_details": {"image_tokens": 2 * 1_568, "text_tokens": 0},
        "total_tokens": text_tokens + 2 * 1_568,
    }
    assert (charge.prompt_tokens, charge.image_tokens) == (text_tokens, 0)
    assert (charge.completion_tokens, charge.units, charge.variant) == (2 * 1_568, {}, "")


@pytest.mark.parametrize("partials", [0, 1, 3])
def test_a_stream_shows_partial_images_and_charges_for_each(
    simulated: Simulated, client: OpenAI, text_tokens: int, partials: int
) -> None:
    stream = client.images.generate(
        model="gpt-image-1",
        prompt=PROMPT,
        size="1024x1024",
        quality="low",
        stream=True,
        partial_images=partials,
    )
    request_id = stream.response.headers["x-request-id"]
    *early, last = stream
    indexes = [e.partial_image_index for e in early if e.type == "image_generation.partial_image"]
    assert indexes == list(range(partials))
    for event in (*early, last):
        assert decode_png(base64.b64decode(event.b64_json))[:2] == (1_024, 1_024)
        assert (event.size, event.quality) == ("1024x1024", "low")
    assert last.type == "image_generation.completed"
    expected = 272 + 100 * partials
    assert last.usage.output_tokens == expected
    assert last.usage.total_tokens == expected + text_tokens
    charge = simulated.charge(request_id)
    assert (charge.completion_tokens, charge.prompt_tokens) == (expected, text_tokens)
    assert (charge.streamed, charge.finished) == (True, True)


def test_edits_count_the_pictures_given(
    simulated: Simulated, client: OpenAI, text_tokens: int
) -> None:
    answer, charge = _asked(
        simulated,
        client,
        "edit",
        model="gpt-image-1.5",
        prompt=PROMPT,
        image=[SQUARE, OBLONG],
        mask=SQUARE,
        size="1024x1536",
        quality="high",
        input_fidelity="high",
    )
    given = (65 + 129 + 4_160) + (65 + 2 * 129 + 6_240)
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == given == charge.image_tokens
    assert answer.usage.input_tokens == text_tokens + given == charge.prompt_tokens
    assert answer.usage.output_tokens == 6_240 == charge.completion_tokens
    assert (charge.endpoint, charge.model) == ("images/edits", "gpt-image-1.5-2025-12-16")


def test_a_streamed_edit(simulated: Simulated, client: OpenAI) -> None:
    stream = client.images.edit(
        model="gpt-image-1", prompt=PROMPT, image=SQUARE, stream=True, partial_images=1
    )
    kinds = [event.type for event in stream]
    assert kinds == ["image_edit.partial_image", "image_edit.completed"]
    charge = simulated.charge(stream.response.headers["x-request-id"])
    assert charge.image_tokens == 194


def test_old_edits_and_variations_are_charged_by_the_picture(
    simulated: Simulated, client: OpenAI
) -> None:
    for verb, wish in (("edit", {"prompt": PROMPT}), ("create_variation", {})):
        answer, charge = _asked(
            simulated,
            client,
            verb,
            model="dall-e-2",
            image=SQUARE,
            n=2,
            size="512x512",
            response_format="b64_json",
            **wish,
        )
        assert _sizes(answer) == [(512, 512)] * 2
        assert (charge.units, charge.variant) == ({"images": 2}, "512x512")
    assert charge.endpoint == "images/variations"


def test_refusals_charge_nothing_and_keep_the_envelope(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="gpt-4o", prompt=PROMPT)
    assert (refused.value.param, refused.value.code) == ("model", "invalid_value")
    assert "'gpt-image-1.5'" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="dall-e-9", prompt=PROMPT)
    with pytest.raises(openai.BadRequestError, match=r"multipart/form-data"):
        client.post("/images/edits", cast_to=object, body={"model": "gpt-image-1"})


def test_chat_and_embeddings_refuse_media_models(client: OpenAI) -> None:
    for model in ("dall-e-3", "gpt-image-1", "tts-1", "whisper-1"):
        with pytest.raises(openai.NotFoundError, match="not a chat model"):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.PermissionDeniedError):
            client.embeddings.create(model=model, input="x")


def test_a_picture_is_one_line_of_a_stream(simulated: Simulated) -> None:
    wish = {"model": "gpt-image-1", "prompt": PROMPT, "stream": True, "partial_images": 1}
    body = simulated.raw(wish, "images/generations").body
    partial, completed, end = body.split(b"\n\n")
    assert end == b""
    for event, kind in ((partial, "partial_image"), (completed, "completed")):
        name, data = event.split(b"\n")
        assert name == f"event: image_generation.{kind}".encode()
        assert json.loads(data.removeprefix(b"data: "))["type"] == name[7:].decode()
        assert len(data) > 1_000_000
