"""Image token rules against the examples in OpenAI's guide "Images and vision"."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.catalog import facts_for
from gateway.core.images import HEADER_BYTES, ImageRule, size_of, size_of_file


def rule(model: str) -> ImageRule:
    found = facts_for(model).image_rule
    assert found is not None
    return found


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(4)


def jpeg(width: int, height: int, metadata: int = 0) -> bytes:
    comments = (b"\xff\xfe" + struct.pack(">H", 65_000) + bytes(64_998)) * metadata
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + comments + b"\xff\xc0" + frame


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", *screen, 0, 0, 0)
        + b"\x21\xfe\x03abc\x00"
        + (b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0))
    )


def webp(width: int, height: int) -> bytes:
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    extended += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o", (1, 1), "auto", 85 + 170),
        ("gpt-4.1", (2049, 513), "high", 1445),  # community.openai.com/t/1281361, as billed
        ("gpt-4o-mini", (1024, 1024), "high", 2833 + 4 * 5667),
        ("gpt-5", (1024, 1024), "high", 70 + 4 * 140),
        ("o1", (1024, 1024), "high", 75 + 4 * 150),
        ("gpt-5.4", (1024, 1024), "high", 1229 + 1),
        ("gpt-5.4", (2048, 2048), "high", 3000 + 1),
        ("gpt-5.6-sol", (4096, 4096), "low", -(-256 * 120 // 100) + 1),
    ],
)
def test_published_examples(model: str, size: tuple[int, int], detail: str, tokens: int) -> None:
    assert rule(model).tokens(size, detail) == tokens


def test_billed_counts_are_within_the_bound() -> None:
    """community.openai.com/t/1281361: what the API charged, less 8 tokens of the message."""
    assert rule("gpt-4.1").tokens((2050, 513), "high") >= 765
    assert rule("gpt-4.1-mini").tokens((4000, 1474), "high") >= 2488


MODELS = [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "o1",
    "o4-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.5",
    "gpt-5.6-luna",
    "gpt-5.1-codex-mini",
]


@settings(deadline=None)
@given(
    model=st.sampled_from(MODELS),
    width=st.integers(1, 5_000),
    height=st.integers(1, 5_000),
    detail=st.sampled_from(["low", "high", "auto", "original"]),
)
def test_unknown_size_costs_at_least_any_known_one(
    model: str, width: int, height: int, detail: str
) -> None:
    worst = rule(model).tokens(None, detail)
    assert 0 < rule(model).tokens((width, height), detail) <= worst
    assert worst <= rule(model).tokens(None, "unheard-of")


@settings(deadline=None)
@given(width=st.integers(1, 9_000), height=st.integers(1, 9_000))
def test_tiles_follow_the_published_steps(width: int, height: int) -> None:
    """The guide's steps, rounding down as it says, never exceed the bound."""
    wide, high = width, height
    if max(wide, high) > 2048:
        wide, high = wide * 2048 // max(width, height), high * 2048 // max(width, height)
    short = min(wide, high)
    if short > 768:
        wide, high = wide * 768 // short, high * 768 // short
    tiles = -(-max(wide, 1) // 512) * -(-max(high, 1) // 512)
    assert rule("gpt-4o").tokens((width, height), "high") >= 85 + 170 * tiles


@pytest.mark.parametrize(
    "content",
    [
        png(1800, 2400),
        jpeg(1800, 2400),
        jpeg(1800, 2400, metadata=3),
        gif((1800, 2400), (1800, 2400)),
        webp(1800, 2400),
        png(1800, 2400) + bytes(2_000_000),
    ],
    ids=["png", "jpeg", "jpeg after metadata", "gif", "webp", "long file"],
)
def test_size_is_read_from_data_urls(content: bytes) -> None:
    assert size_of(data_url(content)) == (1800, 2400)
    assert size_of_file(content[:HEADER_BYTES]) == (1800, 2400)


def test_size_is_read_from_base64_in_lines() -> None:
    text = base64.encodebytes(png(640, 480)).decode()
    assert size_of("DATA:image/png;base64,\n" + text) == (640, 480)


def test_gif_frame_larger_than_its_screen_counts() -> None:
    assert size_of(data_url(gif((1, 1), (4000, 3000)))) == (4000, 3000)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "",
        "data:",
        "data:image/png;base64,",
        "data:image/png,rawdata",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,AAA",
        data_url(png(10, 10)[:20]),
        data_url(jpeg(10, 10)[:8]),
        data_url(b"GIF89a"),
        data_url(b"RIFF\0\0\0\0WAVEfmt "),
        data_url(b"<svg width='1' height='1'></svg>", "image/svg+xml"),
        data_url(png(0, 10)),
    ],
)
def test_unreadable_sizes_are_unknown(url: str) -> None:
    assert size_of(url) is None


@settings(deadline=None)
@given(st.sampled_from([png(9, 9), jpeg(9, 9), gif((9, 9), (9, 9)), webp(9, 9)]), st.binary())
def test_damaged_images_never_raise(start: bytes, rest: bytes) -> None:
    for cut in range(0, len(start), 3):
        found = size_of(data_url(start[:cut] + rest))
        assert found is None or min(found) > 0
