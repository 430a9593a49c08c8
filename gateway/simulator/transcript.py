"""The text of a transcription with its times, and the forms it is answered in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gateway.simulator.text import Piece

SEGMENT_PIECES = 12
"""Words of one subtitle."""

_NAMES = {
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "ja": "japanese",
    "ko": "korean",
    "ru": "russian",
}


@dataclass(frozen=True, slots=True)
class Transcript:
    """Pieces of text spoken evenly over ``seconds``."""

    pieces: Sequence[Piece]
    seconds: Fraction
    language: str
    """ISO 639-1 code."""

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def language_name(self) -> str:
        """The language as verbose answers name it."""
        return _NAMES.get(self.language, self.language)

    def segments(self) -> list[tuple[float, float, Sequence[Piece]]]:
        """Stretches of text with the seconds at which they begin and end."""
        cuts = range(0, len(self.pieces), SEGMENT_PIECES)
        return [
            (
                self._time(at),
                self._time(min(at + SEGMENT_PIECES, len(self.pieces))),
                self.pieces[at : at + SEGMENT_PIECES],
            )
            for at in cuts
        ]

    def words(self) -> list[dict[str, Any]]:
        """Each word with its times; a stop is no word."""
        return [
            {"word": word, "start": self._time(at), "end": self._time(at + 1)}
            for at, piece in enumerate(self.pieces)
            if (word := piece.text.strip(" .、。"))
        ]

    def _time(self, position: int) -> float:
        return round(float(self.seconds * position / max(1, len(self.pieces))), 2)


def verbose(
    transcript: Transcript, task: str, granularities: Sequence[str], temperature: float
) -> dict[str, Any]:
    """A ``verbose_json`` answer without its usage."""
    answer: dict[str, Any] = {
        "task": task,
        "language": transcript.language_name,
        "duration": float(transcript.seconds),
        "text": transcript.text,
    }
    if "word" in granularities:
        answer["words"] = transcript.words()
    if "segment" in granularities or not granularities:
        answer["segments"] = [
            {
                "id": number,
                "seek": 0,
                "start": start,
                "end": end,
                "text": "".join(piece.text for piece in pieces),
                # Ids of a vocabulary that is not shipped: as many as there are tokens.
                "tokens": list(range(50_364, 50_364 + sum(piece.tokens for piece in pieces))),
                "temperature": temperature,
                "avg_logprob": -0.25,
                "compression_ratio": 1.25,
                "no_speech_prob": 0.01,
            }
            for number, (start, end, pieces) in enumerate(transcript.segments())
        ]
    return answer


def srt(transcript: Transcript) -> str:
    """Subtitles in SubRip form."""
    blocks = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_line(pieces)}\n"
        for number, (start, end, pieces) in enumerate(transcript.segments(), start=1)
    ]
    return "\n".join(blocks) + "\n"


def vtt(transcript: Transcript) -> str:
    """Subtitles in WebVTT form."""
    blocks = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{_line(pieces)}\n"
        for start, end, pieces in transcript.segments()
    ]
    return "WEBVTT\n\n" + "\n".join(blocks) + "\n"


def _line(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces).strip()


def _clock(seconds: float, point: str) -> str:
    whole = round(seconds * 1_000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1_000:02}{point}{milliseconds % 1_000:03}"
