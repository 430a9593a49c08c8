"""Forms: what is read is what was sent, what is sent on is what was read, and nothing else."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from openai import OpenAI
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import parse_form_data
from werkzeug.http import parse_options_header
from werkzeug.test import EnvironBuilder

from gateway.adapters import forms
from gateway.adapters.forms import Form, read_form
from gateway.adapters.upstream import Payload
from gateway.core.errors import BadRequest
from tests.adapters.provider_socket import SocketProvider, Talk

BOUNDARY = "b"


def part(disposition: str, body: bytes = b"x", *headers: str, boundary: str = BOUNDARY) -> bytes:
    lines = [f"--{boundary}", f"Content-Disposition: form-data{disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body + b"\r\n"


def read(*parts: bytes, boundary: str = BOUNDARY) -> Form:
    whole = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return read_form(io.BytesIO(whole), boundary)


def sent(payload: Payload) -> bytes:
    body = b"".join(payload.chunks)
    assert len(body) == payload.length
    return body


def seen_by_werkzeug(payload: Payload) -> tuple[list[Any], list[Any]]:
    """Fields and files as another program's parser finds them."""
    body = sent(payload)
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": payload.content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    _, fields, files = parse_form_data(environ)
    found = [(n, f.filename, f.content_type, f.stream.read()) for n, f in files.items(multi=True)]
    return list(fields.items(multi=True)), found


def by_name(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """``pairs`` with those of one name together, names in the order in which they first come."""
    grouped: dict[str, list[tuple[str, Any]]] = {}
    for pair in pairs:
        grouped.setdefault(pair[0], []).append(pair)
    return [pair for group in grouped.values() for pair in group]


def read_again(payload: Payload) -> Form:
    boundary = parse_options_header(payload.content_type)[1]["boundary"]
    return read_form(io.BytesIO(sent(payload)), boundary)


def contents(form: Form) -> list[tuple[str, str, str, bytes]]:
    return [(f.name, f.filename, f.content_type, b"".join(f.chunks())) for f in form.files]


# Round trips

PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Z")), min_size=1)
NAMES = PLAIN.filter(lambda text: text.isprintable() and not set(text) & set('"\\'))
TEXTS = st.text(st.characters(codec="utf-8"))
FILES = st.tuples(NAMES, PLAIN, st.binary(max_size=300))


@given(
    fields=st.lists(st.tuples(NAMES, TEXTS), max_size=5),
    files=st.lists(FILES, max_size=4),
)
def test_whatever_is_sent_arrives(
    fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, bytes]]
) -> None:
    kept = [
        forms.FormFile(name, filename, "text/plain", len(body), io.BytesIO(body))
        for name, filename, body in files
    ]
    form = Form(tuple(fields), tuple(kept))
    again = read_again(form.payload())
    assert again.fields == form.fields
    assert [(n, t, body) for n, _, t, body in contents(again)] == [
        (name, "text/plain", body) for name, _, body in files
    ]
    # What is encoded once comes as it is from then on.
    assert contents(read_again(again.payload())) == contents(again)
    fields_seen, files_seen = seen_by_werkzeug(form.payload())
    # Its dictionary keeps the order of one name's values only.
    assert fields_seen == by_name(form.fields)
    assert [(f[0], f[3]) for f in files_seen] == by_name((f[0], f[2]) for f in files)


@given(
    body=st.binary(max_size=400), boundary=st.sampled_from(["b", "--", "a-b'()+_,./:=?", "x" * 70])
)
def test_contents_full_of_line_breaks_and_boundaries_are_untouched(
    body: bytes, boundary: str
) -> None:
    tricky = body.replace(b"\x00", b"\r\n--").replace(b"\x01", b"\n") + b"--" + boundary.encode()
    # What a boundary must not be: somewhere in the content, at the start of a line.
    assume(not re.search(rb"[\r\n]--" + re.escape(boundary.encode()), b"\n" + tricky))
    form = read(part('; name="file"; filename="f"', tricky, boundary=boundary), boundary=boundary)
    assert contents(form)[0][3] == tricky
    assert seen_by_werkzeug(form.payload())[1][0][3] == tricky


def test_a_form_of_werkzeug_is_read() -> None:
    data = {"purpose": "batch", "list[]": ["a", "b"], "file": (io.BytesIO(b"\x00\xff"), "ä .jsonl")}
    builder = EnvironBuilder(method="POST", data=data)
    environ = builder.get_environ()
    boundary = parse_options_header(environ["CONTENT_TYPE"])[1]["boundary"]
    form = read_form(environ["wsgi.input"], boundary)
    assert form.field("purpose") == "batch"
    assert form.values("list") == ("a", "b")
    assert form.file("file").filename == "ä .jsonl"
    assert form.file("file").head(1) == b"\x00"
    assert contents(form)[0][3] == b"\x00\xff"


def of_request(request: bytes) -> Form:
    head, _, body = request.partition(b"\r\n\r\n")
    kind = re.search(rb"(?i)\r\ncontent-type: ([^\r]+)", head)
    assert kind
    boundary = parse_options_header(kind[1].decode())[1]["boundary"]
    return read_form(io.BytesIO(body), boundary)


def test_forms_of_the_official_sdk_are_read(serve: Callable[..., SocketProvider]) -> None:
    def answer(talk: Talk) -> None:
        while talk.request():
            talk.answer(b'{"text": "", "data": []}', b"Content-Type: application/json")

    provider = serve(answer)
    client = OpenAI(api_key="k", base_url=f"http://127.0.0.1:{provider.port}/v1", max_retries=0)
    name = 'a "quoted" \\ näme.wav'
    client.files.create(
        file=("f.jsonl", b"{}\n"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    client.audio.transcriptions.create(
        file=(name, b"RIFF", "audio/wav"),
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        temperature=0.5,
    )
    client.images.edit(
        image=[("1.png", b"1"), ("2.png", b"2")], prompt="x", model="gpt-image-1", n=2
    )
    files, audio, image = map(of_request, provider.requests)
    assert files.fields == (
        ("purpose", "batch"),
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", "3600"),
    )
    assert contents(files)[0][1::2] == ("f.jsonl", b"{}\n")
    assert audio.values("timestamp_granularities") == ("word", "segment")
    assert (audio.field("model"), audio.field("temperature")) == ("whisper-1", "0.5")
    assert audio.file("file").content_type == "audio/wav"
    assert [f.head(9) for f in image.files_of("image")] == [b"1", b"2"]
    assert image.field("n") == "2"
    for form in (files, audio, image):
        fields, found = seen_by_werkzeug(form.payload())
        assert fields == by_name(form.fields)
        assert [f[3] for f in found] == [f[3] for f in contents(form)]


def test_written_fields_replace_what_came_and_nothing_else() -> None:
    form = read(
        part('; name="n"', b"9"), part('; name="model"', b"m"), part('; name="f"; filename="f"')
    )
    written = read_again(form.payload({"n": "1", "stream": "true"}))
    assert sorted(written.fields) == [("model", "m"), ("n", "1"), ("stream", "true")]
    assert contents(written) == contents(form)


# What readers could disagree about

SMUGGLED = '; name="x\\\\"; filename="; name=model; z="'
"""A name that ends with a backslash, written so that it is read right here. Sent on as it is,
other readers would take it for a field called "model"."""


@pytest.mark.parametrize(
    "disposition",
    [
        SMUGGLED,
        "",
        "; name=",
        '; name=""',
        '; name="a\\"b"',
        '; name="a%22b"',
        "; name*=utf-8''a%0D%0Ab",
        '; name="\u202eledom"',
        f'; name="{"n" * 257}"',
    ],
)
def test_a_name_that_readers_may_take_for_another_is_refused(disposition: str) -> None:
    with pytest.raises(BadRequest, match="needs a name"):
        read(part(disposition))


@pytest.mark.parametrize(
    "filename",
    ["a\\", '\\"; name=\\"model', "a\r\nContent-Type: text/x\r\n\r\nb", "\0\x7f", "x%0D%0Ay", "ü%"],
)
def test_a_file_s_name_cannot_become_a_header_or_a_parameter(filename: str) -> None:
    file = forms.FormFile("file", filename, "text/plain", 1, io.BytesIO(b"1"))
    body = sent(Form((), (file,)).payload())
    head = body.partition(b"\r\n\r\n")[0].decode()
    lines = head.split("\r\n")
    assert len(lines) == 3
    assert lines[2] == "Content-Type: text/plain"
    assert parse_options_header(lines[1].partition(": ")[2])[1]["name"] == "file"
    assert "\\" not in head
    assert lines[1].count('"') == 4


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        "a/b\x7f",
        'a/b; n="\\"',
        "a/b; c=d, e/f",
        "ä/b",
        "a/" + "b" * 300,
    ],
)
def test_what_is_no_media_type_becomes_that_of_any_bytes(kind: str) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: '
    form = read(head + kind.encode() + b"\r\n\r\nx\r\n")
    assert form.file("f").content_type == "application/octet-stream"
    assert b"Content-Type: application/octet-stream\r\n" in sent(form.payload())


@pytest.mark.parametrize("odd", ["\r", "\n", "\0", "\r\n ", "\r\n\t"])
def test_a_header_that_readers_may_take_for_two_is_refused(odd: str) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        read(part('; name="f"; filename="f"', b"x", f"Content-Type: text/plain;{odd}x=y"))


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=b", "Multipart/X", "message/rfc822"])
def test_parts_within_parts_are_refused(kind: str) -> None:
    with pytest.raises(BadRequest, match="cannot have parts"):
        read(part('; name="f"; filename="f"', b"x", f"Content-Type: {kind}"))


def test_a_file_without_a_filename_is_refused() -> None:
    with pytest.raises(BadRequest, match="needs a filename"):
        read(part('; name="model"; filename=""'))
    assert read(part('; name="model"; filename=')).field("model") == "x"


def test_headers_of_a_part_do_not_go_on() -> None:
    form = read(
        part('; name="f"; filename="f"', b"Zg==", "Content-Transfer-Encoding: base64", "X-Y: z"),
        part('; name="a"', b"1", "Content-Type: text/plain; charset=utf-16"),
    )
    body = sent(form.payload())
    assert body.count(b"Content-") == 3
    assert b"base64" not in body
    assert contents(form)[0][3] == b"Zg=="


@pytest.mark.parametrize(
    "more",
    [
        part('; name="n"', b"10"),
        part('; name="n[]"', b"10"),
        part('; name="n[0]"', b"10"),
        part('; name="n"; filename="n"', b"10"),
        part('; name="n[]"; filename="n"', b"10"),
    ],
)
def test_a_field_that_could_be_read_in_two_ways_is_refused(more: bytes) -> None:
    for parts in ((part('; name="n"', b"1"), more), (more, part('; name="n"', b"1"))):
        with pytest.raises(BadRequest):
            read(*parts).field("n")
    assert read(more).field("m") is None


def test_a_file_must_be_there_once() -> None:
    file = part('; name="f"; filename="f"')
    for form in (read(), read(file, file), read(part('; name="f"'))):
        with pytest.raises(BadRequest, match="exactly one file"):
            form.file("f")


def test_text_that_is_no_utf8_is_refused() -> None:
    for bad in (part('; name="a"', b"\xff"), part('; name="a"', b"\xed\xa0\x80")):
        with pytest.raises(BadRequest, match="cannot be read"):
            read(bad)


# Limits


@pytest.mark.parametrize("boundary", ["", "b" * 71, "bä"])
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        read_form(io.BytesIO(b""), boundary)


@pytest.mark.parametrize(
    "cut",
    [b"", b"--b", b"--b\r\n", part('; name="a"')[:-2], part('; name="a"'), b"junk\r\n--c\r\n"],
)
def test_a_form_that_is_not_whole_is_refused(cut: bytes) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        read_form(io.BytesIO(cut), BOUNDARY)


def test_an_empty_form_has_nothing() -> None:
    assert read() == Form((), ())


def test_parts_fields_and_headers_have_limits() -> None:
    most = [part(f'; name="f{n}"') for n in range(forms.PARTS_MAX)]
    assert len(read(*most).fields) == forms.PARTS_MAX
    half = b"y" * (forms.FIELDS_BYTES_MAX // 2)
    assert len(read(part('; name="a"', half), part('; name="b"', half)).fields) == 2
    for parts in (
        [*most, part('; name="more"')],
        [part('; name="a"', half), part('; name="b"', half), part('; name="c"', b"z")],
        [part('; name="a"', b"x", "X: " + "y" * 100_000)],
    ):
        with pytest.raises(BadRequest, match="too large"):
            read(*parts)


def test_what_the_stream_raises_is_left_as_it_is() -> None:
    class TooLong(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise RequestEntityTooLarge

    with pytest.raises(RequestEntityTooLarge):
        read_form(TooLong(), BOUNDARY)


class Upload(io.RawIOBase):
    """A form with one file of ``size`` random-looking bytes, made as it is read."""

    def __init__(self, size: int) -> None:
        self.block = os.urandom(65_521)
        self.digest = hashlib.sha256()
        self._left = size
        self._head = part('; name="file"; filename="big"', b"")[:-2]
        self._tail = b"\r\n--b--\r\n"

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            data, self._head = self._head, b""
        elif self._left:
            data = self.block[: min(size, self._left)]
            self._left -= len(data)
            self.digest.update(data)
        else:
            data, self._tail = self._tail, b""
        return data


def test_a_large_file_is_never_in_memory() -> None:
    size = 130 * 1024 * 1024
    upload = Upload(size)
    tracemalloc.start()
    try:
        form = read_form(upload, BOUNDARY)  # type: ignore[arg-type]
        payload = form.payload()
        digest, count = hashlib.sha256(), 0
        for chunk in payload.chunks:
            count += len(chunk)
            if len(chunk) > 1000:
                digest.update(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert form.file("file").size == size
    assert count == payload.length
    assert digest.digest() == upload.digest.digest()
    assert peak < 8 * 1024 * 1024
