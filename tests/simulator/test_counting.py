from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.counting import count_prompt
from gateway.simulator.errors import ProviderError
from gateway.simulator.image_size import size_of_image
from gateway.simulator.models import find_model

EXAMPLE_MESSAGES = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate "
        "jargon into plain English.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "New synergies will help drive top-line growth.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client "
        "deliverable.",
    },
]
EXAMPLE_TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {
                    "type": "string",
                    "description": "The city and state, e.g. San Francisco, CA",
                },
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-3.5-turbo", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)],
)
def test_messages_count_as_the_cookbook_verified(
    tokenizer: Tokenizer, model: str, expected: int
) -> None:
    prompt = count_prompt(find_model(model), tokenizer, {"messages": EXAMPLE_MESSAGES}, [])
    assert prompt.tokens == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)],
)
def test_tools_count_as_the_cookbook_verified(
    tokenizer: Tokenizer, model: str, expected: int
) -> None:
    messages = [
        {
            "role": "system",
            "content": "You are a helpful assistant that can answer to questions about the "
            "weather.",
        },
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]
    prompt = count_prompt(find_model(model), tokenizer, {"messages": messages}, [EXAMPLE_TOOL])
    assert prompt.tokens == expected


def _png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return "data:image/png;base64," + base64.b64encode(head).decode()


@pytest.mark.parametrize(
    ("model", "width", "height", "detail", "expected"),
    [
        # The provider's own examples.
        ("gpt-4o", 1_024, 1_024, "high", 765),
        ("gpt-4o", 2_048, 4_096, "high", 1_105),
        ("gpt-4o", 4_096, 8_192, "low", 85),
        ("gpt-4.1-mini", 1_024, 1_024, "high", 1_659),  # 1024 patches
        ("gpt-4.1-mini", 1_800, 2_400, "high", 2_353),  # 33 x 44 = 1452 patches
        ("gpt-4o-mini", 512, 512, "auto", 8_500),
        ("gpt-5", 512, 512, "auto", 210),
        ("o1", 512, 512, "auto", 225),
    ],
)
def test_images_count_as_published(
    tokenizer: Tokenizer, model: str, width: int, height: int, detail: str, expected: int
) -> None:
    image: dict[str, Any] = {"url": _png(width, height), "detail": detail}
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": image}]}]
    prompt = count_prompt(find_model(model), tokenizer, {"messages": messages}, [])
    assert prompt.image_tokens == expected
    assert prompt.tokens == expected + 3 + 3 + 1


def test_sizes_are_read_from_each_format() -> None:
    gif = b"GIF89a" + struct.pack("<HH", 30, 20)
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 20, 30)
    webp = b"RIFF....WEBPVP8X" + b"\0" * 8 + b"\x1d\0\0\x13\0\0"
    for data in (gif, jpeg, webp):
        url = "data:image/x;base64," + base64.b64encode(data).decode()
        assert size_of_image(url) == (30, 20)


@pytest.mark.parametrize("data", ["", "AAAA", "!!", "iVBORw0KGgo=", "/9j/"])
def test_what_is_no_image_is_refused(data: str) -> None:
    with pytest.raises(ProviderError):
        size_of_image(f"data:image/png;base64,{data}")
