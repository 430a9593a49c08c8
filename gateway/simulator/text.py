"""Answers without a model: words picked by a hash, in the language of the question.

A piece is a stretch of text that the vocabulary's pattern splits off by itself, so the token
count of a text is exactly the sum of its pieces' counts, wherever it is cut between pieces.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

import orjson

from gateway.adapters.tokenizer import Tokenizer

SENTENCE_WORDS = (5, 12)
"""Fewest and most words after the first of a sentence."""
TAPE_PIECES = 16_384


class Piece(NamedTuple):
    """A stretch of output that is sent in one event."""

    text: str
    tokens: int
    json: bytes
    """``text`` as a JSON string."""


@dataclass(frozen=True, slots=True)
class _Language:
    pattern: re.Pattern[str]
    joiner: str
    stopper: str
    words: str


_LANGUAGES = {
    "ko": _Language(
        re.compile("[\uac00-\ud7a3]", re.IGNORECASE),
        " ",
        ".",
        "이 예산 팀 서비스 요청 비용 사용량 모델 토큰 기록 시간 결과 확인 다음 가격 우리 모든 "
        "정확한 계산 합니다 있습니다 그리고 하지만 매일 보고서 한도 안전한 답변 연결 시작 완료",
    ),
    "ja": _Language(
        re.compile("[\u3041-\u30ff\u4e00-\u9fff]", re.IGNORECASE),
        "、",
        "。",
        "これは 予算 料金 利用 記録 時間 結果 確認 次の 価格 私たち すべて 正確 計算 そして "
        "しかし 毎日 報告 上限 安全 回答 接続 開始 完了 要求",
    ),
    "ru": _Language(
        re.compile("[\u0400-\u04ff]", re.IGNORECASE),
        " ",
        ".",
        "это бюджет команда запрос цена модель время ответ и но каждый день отчет предел "
        "точный расчет мы все новый работа система данные результат проверка начало",
    ),
    "es": _Language(
        re.compile("[ñ¿¡]", re.IGNORECASE),
        " ",
        ".",
        "el presupuesto de la casa y un equipo que usa cada modelo con precio claro para todos "
        "los días donde el tiempo es parte del trabajo pero no del resultado final",
    ),
    "de": _Language(
        re.compile("[ßäöü]", re.IGNORECASE),
        " ",
        ".",
        "das Modell und die Antwort ist ein Teil der Arbeit mit jedem Tag wird der Preis klar "
        "aber nicht die Zeit wir zeigen alle Daten auf einer Seite und jede Frage hat Grenzen",
    ),
    "fr": _Language(
        re.compile("[çèêàùœ]", re.IGNORECASE),
        " ",
        ".",
        "le budget de chaque groupe est clair et la question reste simple avec un prix pour "
        "tous les jours mais le temps passe dans une page sans fin donc on compte bien",
    ),
    "en": _Language(
        re.compile(""),
        " ",
        ".",
        "the budget of every team is clear and a small model can answer most questions with "
        "care while costs stay low so we keep records check limits share results and plan for "
        "growth because each request has its own price time and place in the report",
    ),
}


LANGUAGES = frozenset(_LANGUAGES)
"""Codes of the languages that texts can be composed in (ISO 639-1)."""


@dataclass(frozen=True, slots=True)
class _Tape:
    """A long text made once; an answer is a stretch of it that begins with a sentence."""

    pieces: list[Piece]
    tokens_before: list[int]
    """Tokens of all pieces before each, and of all at the end."""
    starts: list[tuple[Piece, int]]
    """How an answer may begin: with this piece, then the tape from this place on."""
    stop: Piece
    singles: list[Piece]
    """Words of one token, to fill an exact length."""


def language_of(text: str) -> str:
    """The language to answer ``text`` in, by its letters; English where they do not tell."""
    if text.isascii():
        return "en"
    sample = text[:2_000]
    return next(name for name, rules in _LANGUAGES.items() if rules.pattern.search(sample))


class Writer:
    """Composes texts of an exact number of tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tape = cache(self._recorded)

    def compose(
        self, language: str, encoding: str, seed: int, length: int, cut: int
    ) -> list[Piece]:
        """A text of ``length`` tokens or, where that is less, its first ``cut`` tokens."""
        if min(length, cut) <= 0:
            return []
        tape = self._tape(language, encoding)
        whole = cut >= length
        room = length - tape.stop.tokens if whole else cut
        opening, at = tape.starts[seed % len(tape.starts)]
        pieces: list[Piece] = []
        if opening.tokens <= room:
            pieces.append(opening)
            room -= opening.tokens
            while True:
                end = bisect_right(tape.tokens_before, tape.tokens_before[at] + room) - 1
                pieces += tape.pieces[at:end]
                room -= tape.tokens_before[end] - tape.tokens_before[at]
                if end < len(tape.pieces):
                    break
                at = 0
        if whole and pieces and pieces[-1] is tape.stop:
            # Two stops in a row would be one token.
            pieces.pop()
            room += tape.stop.tokens
        for step in range(room):
            pieces.append(tape.singles[(seed + step) % len(tape.singles)])
        if whole:
            pieces.append(tape.stop)
        return pieces

    def pieces_of(self, text: str, encoding: str) -> list[Piece]:
        """``text`` token by token; tokens that share a character stay together."""
        pieces: list[Piece] = []
        pending: list[int] = []
        for token in self._tokenizer.encode(text, encoding):
            pending.append(token)
            decoded = self._tokenizer.decode(pending, encoding)
            if "\ufffd" not in decoded:
                pieces.append(Piece(decoded, len(pending), orjson.dumps(decoded)))
                pending = []
        return pieces

    def count(self, text: str, encoding: str) -> int:
        """Tokens of ``text``."""
        return len(self._tokenizer.encode(text, encoding))

    def _recorded(self, language: str, encoding: str) -> _Tape:
        rules = _LANGUAGES[language]
        words = list(dict.fromkeys(rules.words.split()))

        def piece(text: str) -> Piece:
            return Piece(text, self.count(text, encoding), orjson.dumps(text))

        later = [piece(rules.joiner + word) for word in words]
        opening = [piece(_capital(word)) for word in words]
        stop = piece(rules.stopper)
        if rules.joiner == " ":
            turning = [[stop, piece(" " + _capital(word))] for word in words]
        else:  # The stop and the word after it are one piece.
            turning = [[piece(rules.stopper + word)] for word in words]
        tape = _Tape([], [0], [], stop, [])
        tape.singles.extend(p for p in (*later, piece(" a")) if p.tokens == 1)
        random = Random(f"{language}/{encoding}")
        while len(tape.pieces) < TAPE_PIECES:
            first = random.randrange(len(words))
            tape.pieces.extend(turning[first])
            tape.starts.append((opening[first], len(tape.pieces)))
            tape.pieces.extend(random.choices(later, k=random.randint(*SENTENCE_WORDS)))
        for entry in tape.pieces:
            tape.tokens_before.append(tape.tokens_before[-1] + entry.tokens)
        return tape


def cut_at_stop(
    pieces: list[Piece], stops: Sequence[str], writer: Writer, encoding: str
) -> tuple[list[Piece], bool]:
    """``pieces`` up to the first of ``stops``, and whether one was found."""
    text = "".join(piece.text for piece in pieces)
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    if not found:
        return pieces, False
    kept: list[Piece] = []
    room = min(found)
    for piece in pieces:
        if len(piece.text) > room:
            rest = piece.text[:room]
            if rest:
                kept.append(Piece(rest, writer.count(rest, encoding), orjson.dumps(rest)))
            break
        kept.append(piece)
        room -= len(piece.text)
    return kept, True


def cut_at_tokens(pieces: list[Piece], limit: int) -> tuple[list[Piece], bool]:
    """The whole pieces that fit in ``limit`` tokens, and whether any was left out."""
    used = 0
    for index, piece in enumerate(pieces):
        used += piece.tokens
        if used > limit:
            return pieces[:index], True
    return pieces, False


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
