from __future__ import annotations

from fractions import Fraction

from gateway.simulator.text import Piece
from gateway.simulator.transcript import Transcript, srt, verbose, vtt

WORDS = ["One", *[f" w{number}" for number in range(2, 15)], "."]
SPOKEN = Transcript([Piece(word, 1, b"") for word in WORDS], Fraction(3_630), "de")
"""15 pieces over 3630 seconds: 242 seconds each, twelve in the first segment."""


def test_subtitles_cover_the_time_without_gaps() -> None:
    assert srt(SPOKEN) == (
        "1\n00:00:00,000 --> 00:48:24,000\nOne w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12\n\n"
        "2\n00:48:24,000 --> 01:00:30,000\nw13 w14.\n\n"
    )
    assert vtt(SPOKEN) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:48:24.000\nOne w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12\n\n"
        "00:48:24.000 --> 01:00:30.000\nw13 w14.\n\n"
    )


def test_verbose_answers_have_the_granularities_asked_for() -> None:
    plain = verbose(SPOKEN, "transcribe", (), 0.5)
    assert (plain["language"], plain["duration"], plain["task"]) == ("german", 3_630, "transcribe")
    assert "words" not in plain
    first, second = plain["segments"]
    assert (first["start"], first["end"], second["end"]) == (0, 2_904, 3_630)
    assert first["text"] + second["text"] == plain["text"] == "".join(WORDS)
    assert (len(first["tokens"]), first["temperature"]) == (12, 0.5)
    worded = verbose(SPOKEN, "transcribe", ("word",), 0)
    assert "segments" not in worded
    assert [entry["word"] for entry in worded["words"]] == [w.strip() for w in WORDS[:-1]]
    assert {"words", "segments"} <= verbose(SPOKEN, "transcribe", ("word", "segment"), 0).keys()


def test_a_silent_transcript_has_no_segments() -> None:
    silent = Transcript([], Fraction(1), "en")
    assert vtt(silent) == "WEBVTT\n\n\n"
    assert verbose(silent, "translate", (), 0)["segments"] == []
