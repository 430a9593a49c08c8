"""Counts equal tiktoken's, whatever the text, and vocabularies are verified before use."""

from __future__ import annotations

import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiktoken_ext.openai_public as published  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import tokenizer as module
from gateway.adapters.tokenizer import (
    ENCODINGS,
    SEGMENT_CHARACTERS,
    SEGMENT_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    Tokenizer,
    VocabularyError,
)

VOCABULARIES = Path(module.__file__).parent.parent / "vocabularies"
TOKENIZER = Tokenizer()


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_are_those_of_tiktoken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pattern, special tokens and hash, against tiktoken's own definitions."""
    asked: list[str] = []

    def load(_: str, expected_hash: str) -> dict[bytes, int]:
        asked.append(expected_hash)
        return {}

    monkeypatch.setattr(published, "load_tiktoken_bpe", load)
    expected: dict[str, Any] = getattr(published, name)()
    ours = module._VOCABULARIES[name]
    assert ours.pattern == expected["pat_str"]
    assert ours.special_tokens == expected["special_tokens"]
    assert asked == [ours.sha256]


def test_known_counts() -> None:
    # OpenAI Cookbook, "How to count tokens with tiktoken"
    assert TOKENIZER.encode("お誕生日おめでとう", "cl100k_base") == [
        33334, 45918, 243, 21990, 9080, 33334, 62004, 16556, 78699,
    ]  # fmt: skip
    assert TOKENIZER.count("tiktoken is great!", "cl100k_base") == 6
    assert TOKENIZER.count("antidisestablishmentarianism", "o200k_base") == 6
    assert TOKENIZER.count("", "o200k_base") == 0


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_roles_are_one_token(role: str, name: str) -> None:
    """The prompt bound takes this for granted."""
    assert TOKENIZER.count(role, name) == 1


def test_loading_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = Tokenizer()
    fresh.preload()
    assert fresh.count("hello world", "o200k_base") == 2


def test_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"cl100k_base\.tiktoken cannot be read"):
        Tokenizer(tmp_path).preload()


def test_damaged_vocabulary_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    shutil.copy(VOCABULARIES / path.name, path)
    with path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(VocabularyError, match="is damaged"):
        Tokenizer(tmp_path).count("x", "cl100k_base")
    assert path.exists()


def test_unknown_encoding() -> None:
    with pytest.raises(VocabularyError, match="is not an encoding"):
        TOKENIZER.count("x", "p50k_base")


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(
    "text",
    [
        "<|endoftext|><|fim_prefix|><|endofprompt|><|im_start|>",
        "lone \ud800 surrogates \udfff",
        "\x00\x01\ufffe\uffff",
        "a" * 1_000_000,
        " " * 1_000_000,
        "\n" * 1_000_000,
        "字" * 200_000,
        "0" * 200_000,
        "é" * (TEXT_CHARACTERS_MAX + 1),
    ],
    ids=["special", "surrogates", "control", "a", "spaces", "lines", "cjk", "digits", "too long"],
)
def test_no_text_is_too_odd_to_count(text: str, name: str) -> None:
    found = TOKENIZER.count(text, name)
    assert 0 < found <= len(text.encode("utf-8", "surrogatepass"))


def test_special_tokens_are_plain_text() -> None:
    assert TOKENIZER.count("<|endoftext|>", "o200k_base") > 1


def test_what_makes_tiktoken_panic_is_counted_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_CHARACTERS_MAX", 2_000_000)
    monkeypatch.setattr(module, "SEGMENT_CHARACTERS", 2_000_000)
    assert TOKENIZER.count(" " * 1_000_000, "o200k_base") == 1_000_000


PARAGRAPH = (
    "It's 3.5 km from São Paulo's centre, isn't it?  Да, конечно! 今日は、いい天気ですね。"
    " 오늘은 날씨가 좋네요. مرحبا بالعالم، كيف الحال؟ https://example.com/a_b/c?d=e&f='g'\n"
    "\n\tdef f(x):\n"
)


@pytest.mark.parametrize("name", ENCODINGS)
def test_long_texts_are_counted_exactly(name: str) -> None:
    text = PARAGRAPH * 1_000
    assert len(text) > 4 * SEGMENT_CHARACTERS
    whole = TOKENIZER._encoding(name).encode_ordinary(text)
    assert TOKENIZER.count(text, name) == len(whole)
    assert TOKENIZER.encode(text, name) == whole


pieces = st.sampled_from(
    [
        *"aZé1я字가ก' \n\t.,;-/_'\"",
        "'s",
        "'LL",
        "  ",
        "\r\n",
        " '",
        "。",
        "、",
        "े",
        "ی",
        "👩‍🚀",
        "½",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=60).map("".join), st.sampled_from(ENCODINGS))
def test_cuts_never_change_the_count(text: str, name: str) -> None:
    encode = TOKENIZER._encoding(name).encode_ordinary
    whole = encode(text)
    for cut in module._CUT.finditer(text):
        assert encode(text[: cut.start()]) + encode(text[cut.start() :]) == whole


def test_segments_are_the_text() -> None:
    text = PARAGRAPH * 1_000 + "a" * (SEGMENT_CHARACTERS_MAX * 2) + " " + PARAGRAPH
    assert "".join(module._segments(text)) == text


@settings(deadline=None)
@given(st.text(), st.sampled_from(ENCODINGS))
def test_decoding_gives_the_text_back(text: str, name: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text, name), name) == text


def test_encoding_of_a_model() -> None:
    assert TOKENIZER.encoding_for("ft:gpt-4.1-mini:org::1") == "o200k_base"
    assert TOKENIZER.encoding_for("gpt-3.5-turbo") == "cl100k_base"


def test_threads_share_one_tokenizer() -> None:
    shared = Tokenizer()
    texts = [PARAGRAPH * count for count in range(1, 40)]
    expected = [TOKENIZER.count(text, "o200k_base") for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: shared.count(text, "o200k_base"), texts)) == expected
