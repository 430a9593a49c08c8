"""Pictures, speech, transcriptions and translations."""

from __future__ import annotations

from collections.abc import Mapping, Set

from gateway.core import image_requests, speech_requests
from gateway.core.image_requests import FORMATS, PARTIAL_IMAGES_MAX, PICTURES_MAX
from gateway.core.media_fields import KNOWN
from gateway.core.transcription_requests import ANSWER_FORMATS
from gateway.web.descriptions.operation import EVENT, EVENTS, JSON, PRICED, Operation
from gateway.web.descriptions.shapes import (
    Shape,
    either,
    fields,
    file,
    flag,
    form,
    integer,
    list_of,
    number,
    one_of,
    record,
    text,
)
from gateway.web.descriptions.text import MODEL, NAMES, refused_beside


def _refused(known: Set[str]) -> Mapping[str, str]:
    own = {name: why for name, why in image_requests.UNBOUNDED.items() if name in known}
    return {**refused_beside(frozenset(known)), **own}


_PICTURES = {JSON: record({"created": integer(0), "data": list_of({})})}
_PICTURES_OR_EVENTS = {**_PICTURES, EVENTS: EVENT}
_WISHES: Mapping[str, Shape] = {
    "model": MODEL,
    "n": integer(1, PICTURES_MAX),
    "size": text(),
    "quality": text(),
    "output_format": one_of(*FORMATS),
    "partial_images": integer(0, PARTIAL_IMAGES_MAX),
    "stream": flag(),
    **NAMES,
}
_PROMPT = text(1)
_IMAGES = list_of(file(), least=1)


def _wishes_of(endpoint: str) -> Mapping[str, Shape]:
    return {name: shape for name, shape in _WISHES.items() if name in KNOWN[endpoint]}


_GENERATIONS, _EDITS, _VARIATIONS = "images/generations", "images/edits", "images/variations"
_SPEECH = "audio/speech"
_TRANSCRIPTIONS, _TRANSLATIONS = "audio/transcriptions", "audio/translations"

_TEXTS_OF_SOUND = {
    JSON: record({}),
    "text/plain": text(),
}
_SOUND_WISHES: Mapping[str, Shape] = {
    "prompt": text(),
    "response_format": one_of(*ANSWER_FORMATS),
    "temperature": number(0, 1),
}

OPERATIONS: Mapping[str, Operation] = {
    "images.create_image": Operation(
        "Make pictures from a text",
        _PICTURES_OR_EVENTS,
        json=fields(
            KNOWN[_GENERATIONS],
            {"prompt": _PROMPT},
            _wishes_of(_GENERATIONS),
            refused=_refused(KNOWN[_GENERATIONS]),
        ),
        errors=PRICED,
        costs=True,
    ),
    "images.create_image_edit": Operation(
        "Make pictures from pictures and a text",
        _PICTURES_OR_EVENTS,
        form=form(
            KNOWN[_EDITS],
            {"prompt": _PROMPT, "image": _IMAGES},
            {**_wishes_of(_EDITS), "mask": file()},
            refused=_refused(KNOWN[_EDITS]),
        ),
        errors=PRICED,
        costs=True,
    ),
    "images.create_image_variation": Operation(
        "Make pictures like a picture",
        _PICTURES,
        form=form(
            KNOWN[_VARIATIONS],
            {"image": file()},
            _wishes_of(_VARIATIONS),
            refused=_refused(KNOWN[_VARIATIONS]),
        ),
        errors=PRICED,
        costs=True,
    ),
    "speech.create_speech": Operation(
        "Speak a text",
        {
            **{f"audio/{kind}": {} for kind in ("mpeg", "wav", "opus", "aac", "flac", "pcm")},
            EVENTS: EVENT,
        },
        json=fields(
            KNOWN[_SPEECH],
            {
                "model": MODEL,
                "input": text(1, speech_requests.CHARACTERS_MAX),
                "voice": either(text(1), record({"id": text(1)})),
            },
            {
                "instructions": text(),
                "response_format": text(),
                "stream_format": one_of("sse", "audio"),
                "speed": number(0.25, 4),
            },
            refused=_refused(KNOWN[_SPEECH]),
        ),
        errors=PRICED,
        costs=True,
    ),
    "transcriptions.create_transcription": Operation(
        "Write down what is spoken",
        {**_TEXTS_OF_SOUND, EVENTS: EVENT},
        form=form(
            KNOWN[_TRANSCRIPTIONS],
            {"file": file(), "model": MODEL},
            {**_SOUND_WISHES, "language": text(), "stream": flag()},
            refused=_refused(KNOWN[_TRANSCRIPTIONS]),
        ),
        errors=PRICED,
        costs=True,
    ),
    "transcriptions.create_translation": Operation(
        "Write down in English what is spoken",
        _TEXTS_OF_SOUND,
        form=form(
            KNOWN[_TRANSLATIONS],
            {"file": file(), "model": MODEL},
            _SOUND_WISHES,
            refused=_refused(KNOWN[_TRANSLATIONS]),
        ),
        errors=PRICED,
        costs=True,
    ),
}
