"""Fuzzes ``gateway.adapters.forms``: one reading of a form however it comes, and the same sent on.

The second reader is Werkzeug's own form parser as the provider's stand-in uses it.
"""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from random import Random
from typing import IO, Any, cast

from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser

from gateway.adapters import forms
from gateway.core.errors import BadRequest
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent, pieces

BOUNDARY = "b0"
NAMES = ("file", "model", "prompt", "n", "image[]", "purpose", "a b", "é", 'q"x', "x\\", "")
TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"--b0",
        b"--b0--",
        b"\r\n--b0\r\n",
        b"\r\n--b0--\r\n",
        b"--b00",
        b"--b",
    ),
    *(b"Content-Disposition: form-data; ", b'name="file"', b"name=file", b'; filename="a.txt"'),
    *(b"; filename*=UTF-8''a%20b", b'; name="n"', b"Content-Type: text/plain", b"\r\n\r\n", b'"'),
    *(b"Content-Type: multipart/mixed; boundary=b1", b"Content-Transfer-Encoding: base64", b"\\"),
    *(
        b"; ",
        b"=",
        b":",
        b" ",
        b"\t",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"%22",
        b"_charset_",
        b"Content-",
    ),
    *(b"charset=utf-16", b"-", b"--", b"\r\n\t", b'"; name="model', b"x" * 300),
)
VALUES = (
    b"",
    b"1",
    b"hi",
    b"\r\n",
    b"\r\n--",
    b"--b0",
    b"\r",
    b"\n--b0",
    "é".encode(),
    b"\xff",
    b"a" * 90,
)


def _part(rng: Random) -> bytes:
    name = rng.choice(NAMES).encode()
    head = b'Content-Disposition: form-data; name="' + name + b'"'
    if rng.random() < 0.4:
        head += (
            b'; filename="'
            + rng.choice((b"a.txt", b"", b"\xc3\xa9.mp3", b"a b.wav", b"../x"))
            + b'"'
        )
        if rng.random() < 0.7:
            head += b"\r\nContent-Type: " + rng.choice((b"text/plain", b"audio/mpeg", b"x"))
    return b"--b0\r\n" + head + b"\r\n\r\n" + rng.choice(VALUES) + b"\r\n"


def make(rng: Random) -> bytes:
    """A form, as it is or bent."""
    data = b"".join(_part(rng) for _ in range(rng.randrange(1, 5))) + b"--b0--\r\n"
    return data if rng.random() < 0.4 else bent(rng, data, TOKENS)


class InPieces(BytesIO):
    """A stream that gives what has arrived, and not as much as was asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._pieces = [one for one in pieces(data) if one]

    def read(self, _size: int | None = -1, /) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


Read = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str, str, bytes], ...]] | str


def read(stream: IO[bytes], boundary: str = BOUNDARY) -> tuple[Read, forms.Form | None]:
    """What a form says, or why it is refused; and the form."""
    try:
        form = forms.read_form(stream, boundary)
    except BadRequest as error:
        assert error.status == 400
        return "refused", None
    files = tuple(
        (one.name, one.filename, one.content_type, b"".join(one.chunks())) for one in form.files
    )
    return (form.fields, files), form


def second_reader(body: bytes, boundary: str) -> tuple[list[Any], list[Any]] | None:
    """Fields and files as another program reads them; None where it does not."""

    def stream_for(*_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()

    parser = FormDataParser(stream_for, max_form_memory_size=None, silent=False)
    options = {"boundary": boundary}
    try:
        _, fields, files = parser.parse(BytesIO(body), "multipart/form-data", len(body), options)
    except (ValueError, HTTPException):
        return None
    return (
        [(name, value) for name in fields for value in fields.getlist(name)],
        [(name, one.filename, one.stream.read()) for name in files for one in files.getlist(name)],
    )


def check(body: bytes) -> bool:
    """The same however it comes; and what is sent on means the same to whoever reads it."""
    meant, form = read(BytesIO(body))
    cut, _ = read(cast(IO[bytes], InPieces(body)))
    assert cut == meant, "another reading where it comes in pieces"
    if form is None or isinstance(meant, str):
        return False
    fields, files = meant
    payload = form.payload()
    boundary = payload.content_type.partition("boundary=")[2]
    sent = b"".join(payload.chunks)
    assert len(sent) == payload.length, "another length than is announced"
    again, form_again = read(BytesIO(sent), boundary)
    assert again == _as_sent(meant), "sent on as something else"
    assert form_again is not None
    if all(one.filename == forms._quoted(one.filename) for one in form.files):
        assert form_again.digest() == form.digest()
    other = second_reader(sent, boundary)
    assert other is not None, "the provider cannot read it"
    as_sent = _as_sent(meant)
    assert sorted(other[0]) == sorted(as_sent[0])
    assert sorted(other[1]) == sorted((one[0], one[1], one[3]) for one in as_sent[1])
    for name in {name for name, _ in chain(fields, ((one[0], one[1]) for one in files))}:
        try:
            form.field(name)
        except BadRequest:
            continue
    return True


def _as_sent(meant: Any) -> Any:
    """A file's name goes out percent-encoded where it has quotes or control characters."""
    fields, files = meant
    return fields, tuple((name, forms._quoted(filename), *rest) for name, filename, *rest in files)


FORMS = Fuzzer("forms", make, check, quick_inputs=3_000)
