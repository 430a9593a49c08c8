"""Token counts by tiktoken, from the vocabularies shipped in the package; no network, ever.

tiktoken's own loader deletes a file whose hash is wrong and fetches another without a
timeout, so this module reads, verifies and parses the two files itself. Counting never
raises whatever the text, and never counts too few tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tiktoken

from gateway.core.catalog import ModelFacts, facts_for

LONG_TEXT_CHARACTERS = 8_000
"""A text longer than this takes more than about a millisecond of CPU (measured: 45 ns a
character with o200k_base, 160 ns with cl100k_base): offload it. tiktoken releases the GIL."""

SEGMENT_CHARACTERS = 16_384
"""Texts are encoded in segments of about this length, cut only where a token must end."""

SEGMENT_CHARACTERS_MAX = 65_536
"""A longer run without a place to cut (spaces, one endless word) is counted by its bytes:
it costs tiktoken time that grows faster than its length, and 1M spaces make it panic."""

TEXT_CHARACTERS_MAX = 4_000_000
"""Texts longer than this are counted by their bytes. No model's context window holds as much
ordinary text, so a more exact figure would not let any further request through."""

_CUT = re.compile(
    # ASCII, Latin, Cyrillic, Arabic, Devanagari, Thai, kana, Chinese, Hangul
    r"(?<=[0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0410-\u044f\u0621-\u064a"
    r"\u0905-\u0939\u0e01-\u0e30\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3])"
    # white space, ASCII punctuation but the apostrophe, East Asian punctuation
    r"[ \t\r\n!-&(-/:-@\[-`{-~\u3001\u3002\u300c\u300d\uff01\uff0c\uff1a\uff1b\uff1f]"
)
"""A letter or digit followed by white space or punctuation, an apostrophe excepted. Both
vocabularies' patterns end a piece between the two whatever else surrounds them, and no piece
is merged with another, so the counts of both sides add up to the count of the whole."""


class VocabularyError(RuntimeError):
    """A vocabulary file is missing or damaged; nothing can be counted."""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """One encoding: the file's SHA-256, the pattern that splits a text, the special tokens.

    Source: ``tiktoken_ext/openai_public.py`` of tiktoken 0.14.
    """

    sha256: str
    pattern: str
    special_tokens: dict[str, int]


_VOCABULARIES = {
    "cl100k_base": _Vocabulary(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": _Vocabulary(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
}

ENCODINGS = tuple(_VOCABULARIES)
"""The encodings that can be counted with."""


class Tokenizer:
    """Counts, encodes and decodes texts. Safe to share between threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` holds the ``*.tiktoken`` files; by default those of the package."""
        self._folder = folder or Path(__file__).resolve().parent.parent / "vocabularies"
        self._loaded: dict[str, tiktoken.Encoding] = {}
        self._lock = threading.Lock()

    def preload(self) -> None:
        """Load all vocabularies (under a second, 75 MB): call before forking.

        Raises VocabularyError.
        """
        for name in ENCODINGS:
            self._encoding(name)

    def encoding_for(self, model: str) -> str:
        """The name of the encoding of ``model``, as OpenAI or a caller spells it."""
        return facts_for(model).encoding

    def count(self, text: str, encoding: str) -> int:
        """The tokens of ``text``, or an upper bound where counting would take too long.

        Special tokens are counted as the plain text they are in a prompt. Raises
        VocabularyError for an unknown encoding or a bad vocabulary, nothing else.
        """
        known = self._loaded.get(encoding) or self._encoding(encoding)
        if len(text) <= SEGMENT_CHARACTERS:
            return _count_segment(known, text)
        if len(text) > TEXT_CHARACTERS_MAX:
            return _byte_count(text)
        return sum(_count_segment(known, segment) for segment in _segments(text))

    def counter(self, facts: ModelFacts) -> Callable[[str], int]:
        """Counts the tokens of texts for the model of ``facts``, or an upper bound of them."""
        if not facts.tokenizer_known:
            return _byte_count
        return partial(self.count, encoding=facts.encoding)

    def encode(self, text: str, encoding: str) -> list[int]:
        """The token ids of ``text``. Endless runs are cut, so their tokens may differ slightly."""
        known = self._encoding(encoding)
        tokens: list[int] = []
        for segment in _segments(text):
            for start in range(0, len(segment), SEGMENT_CHARACTERS_MAX):
                tokens += known.encode_ordinary(segment[start : start + SEGMENT_CHARACTERS_MAX])
        return tokens

    def decode(self, tokens: Sequence[int], encoding: str) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""
        return self._encoding(encoding).decode(tokens, errors="replace")

    def _encoding(self, name: str) -> tiktoken.Encoding:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = _load(self._folder, name)
            return self._loaded[name]


def _load(folder: Path, name: str) -> tiktoken.Encoding:
    vocabulary = _VOCABULARIES.get(name)
    if vocabulary is None:
        raise VocabularyError(f"{name!r} is not an encoding; known: {', '.join(ENCODINGS)}")
    path = folder / f"{name}.tiktoken"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VocabularyError(f"The vocabulary {path} cannot be read: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != vocabulary.sha256:
        raise VocabularyError(
            f"The vocabulary {path} is damaged: its SHA-256 is {found}, not {vocabulary.sha256}."
            " Install the package again."
        )
    ranks = {}
    try:
        for line in content.splitlines():
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
    except (ValueError, binascii.Error) as error:  # a known hash rules this out
        raise VocabularyError(f"The vocabulary {path} cannot be parsed") from error
    return tiktoken.Encoding(
        name,
        pat_str=vocabulary.pattern,
        mergeable_ranks=ranks,
        special_tokens=vocabulary.special_tokens,
    )


def _segments(text: str) -> Iterator[str]:
    """``text`` in segments of at least SEGMENT_CHARACTERS (but the last), cut where it is safe."""
    start, length = 0, len(text)
    while start < length:
        cut = _CUT.search(text, start + SEGMENT_CHARACTERS)
        end = cut.start() if cut else length
        yield text[start:end]
        start = end


def _count_segment(encoding: tiktoken.Encoding, text: str) -> int:
    if len(text) > SEGMENT_CHARACTERS_MAX:
        return _byte_count(text)
    try:
        return len(encoding.encode_ordinary(text))
    except Exception:
        return _byte_count(text)
    except BaseException as error:
        # tiktoken reports what its regular expressions cannot bear as a Rust panic, whose
        # class is a BaseException that cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        return _byte_count(text)


def _byte_count(text: str) -> int:
    """The UTF-8 bytes of ``text``: no token is shorter than a byte."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size == len(text):
        return size
    # Some tokenizers normalise first, which can make a text longer: U+FDFA becomes 18 letters.
    normal = unicodedata.normalize("NFKC", text)
    return max(size, len(normal.encode("utf-8", "surrogatepass")))
