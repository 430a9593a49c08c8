from __future__ import annotations

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.text import Piece, Writer, cut_at_tokens, language_of

LANGUAGES = ("en", "ko", "ja", "ru", "es", "de", "fr")


@pytest.fixture(scope="module")
def writer(tokenizer: Tokenizer) -> Writer:
    return Writer(tokenizer)


def _joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_have_exactly_the_tokens_asked_for(
    writer: Writer, tokenizer: Tokenizer, language: str, encoding: str
) -> None:
    for length in [*range(1, 60), 1_000, 40_000]:
        seed = length * 7_919
        whole = writer.compose(language, encoding, seed, length, length)
        assert sum(piece.tokens for piece in whole) == length
        assert tokenizer.count(_joined(whole), encoding) == length
        cut = writer.compose(language, encoding, seed, length + 50, length)
        assert tokenizer.count(_joined(cut), encoding) == length


def test_a_cut_text_begins_the_whole_one(writer: Writer) -> None:
    whole = writer.compose("en", "o200k_base", 5, 100, 100)
    assert writer.compose("en", "o200k_base", 5, 100, 40) == whole[:40]


@pytest.mark.parametrize("text", ['{"a": "b c"}', "예산은 지켜집니다 🦜", "", "a" * 50])
def test_pieces_of_a_text_join_to_it(writer: Writer, tokenizer: Tokenizer, text: str) -> None:
    pieces = writer.pieces_of(text, "o200k_base")
    assert _joined(pieces) == text
    assert sum(piece.tokens for piece in pieces) == tokenizer.count(text, "o200k_base")


def test_a_piece_is_never_cut() -> None:
    pieces = [Piece("가", 2, b""), Piece("나", 2, b"")]
    assert cut_at_tokens(pieces, 3) == (pieces[:1], True)
    assert cut_at_tokens(pieces, 4) == (pieces, False)


def test_the_language_follows_the_letters() -> None:
    texts = ["Hi", "안녕", "これ", "Что", "¿Qué?", "Größe", "Ça va"]
    assert [language_of(text) for text in texts] == ["en", "ko", "ja", "ru", "es", "de", "fr"]
