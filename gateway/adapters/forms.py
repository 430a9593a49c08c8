"""``multipart/form-data``: read strictly with files on disk, and written out again.

A form is read whole before anything is done with it, so that what was checked is what is sent,
and a client that stops half-way has sent nothing to the provider. Files go to disk as they
arrive, and from there to the provider: a large one passes through without being in memory.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

import gevent
from werkzeug.http import parse_options_header

from gateway.adapters.upstream import Payload
from gateway.core.errors import BadRequest
from gateway.core.form_parts import (
    HEAD_BYTES_MAX,
    Content,
    Head,
    HeadTooLarge,
    PartSplitter,
    UnreadableForm,
)

PARTS_MAX = 64
FIELDS_BYTES_MAX = 1024 * 1024
"""All fields that are not files together: they are kept in memory."""
BOUNDARY_BYTES_MAX = 70
"""RFC 2046, section 5.1.1."""
NAME_CHARACTERS_MAX = 256
IN_MEMORY_BYTES = 256 * 1024
"""A file up to this size does not go to disk."""
_READ_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024
_MEDIA_TYPE = re.compile(
    r"""[\w.+-]+/[\w.+-]+(?:[ ]*;[ ]*[\w.+-]+=(?:[\w.+:-]+|"[\w .+:-]*"))*""", re.ASCII
)
_ANY_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form. ``content`` can be read and sought; it ends with the request."""

    name: str
    filename: str
    content_type: str
    size: int
    content: IO[bytes]

    def head(self, size: int) -> bytes:
        """The first ``size`` bytes."""
        self.content.seek(0)
        return self.content.read(size)

    def chunks(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
        self.content.seek(0)
        while data := self.content.read(_CHUNK_BYTES):
            yield data


@dataclass(frozen=True, slots=True)
class Form:
    """Fields and files; a name may come several times (``image[]``)."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[FormFile, ...]

    def field(self, name: str) -> str | None:
        """The value of a field that may come once.

        Raises BadRequest where it comes twice, as a list (``n[]``) or as a file: what one
        reader overlooks another may take for it.
        """
        found = [value for key, value in self.fields if key == name]
        if len(found) > 1:
            raise BadRequest(f"{name} is given {len(found)} times.", param=name)
        if any(key.startswith(f"{name}[") for key, _ in self.fields) or self.files_of(name):
            raise BadRequest(f"{name} must be one field, not a list or a file.", param=name)
        return found[0] if found else None

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a field that may come several times, also as ``name[]``."""
        return tuple(value for key, value in self.fields if key in (name, f"{name}[]"))

    def file(self, name: str) -> FormFile:
        """The one file of a name. Raises BadRequest where it is not there, or there twice."""
        found = self.files_of(name)
        if len(found) != 1:
            raise BadRequest(f"Send exactly one file as {name}; {len(found)} came.", param=name)
        return found[0]

    def files_of(self, name: str) -> tuple[FormFile, ...]:
        """All files of a name, also as ``name[]``."""
        return tuple(file for file in self.files if file.name in (name, f"{name}[]"))

    def digest(self) -> str:
        """SHA-256 of all fields and files; boundaries, which differ each time, are not in it."""
        found = hashlib.sha256()
        for name, value in self.fields:
            found.update(f"{len(name)} {name} {len(value)} {value}".encode("utf-8", "replace"))
        for file in self.files:
            told = f"{file.name} {file.filename} {file.content_type} {file.size}"
            found.update(told.encode("utf-8", "replace"))
            for chunk in file.chunks():
                found.update(chunk)
                gevent.sleep(0)
        return found.hexdigest()

    def payload(self, written: Mapping[str, str] | None = None) -> Payload:
        """The form to send on, with the fields in ``written`` set to these values."""
        written = written or {}
        boundary = f"faregate-{secrets.token_hex(16)}"
        kept = [(name, value) for name, value in self.fields if name not in written]
        heads = [
            _head(boundary, name) + value.encode("utf-8", "surrogatepass") + b"\r\n"
            for name, value in [*kept, *written.items()]
        ]
        files = [(_file_head(boundary, file), file) for file in self.files]
        end = f"--{boundary}--\r\n".encode()
        length = sum(map(len, heads)) + len(end)
        length += sum(len(head) + file.size + 2 for head, file in files)

        def chunks() -> Iterator[bytes]:
            yield b"".join(heads)
            for head, file in files:
                yield head
                yield from file.chunks()
                yield b"\r\n"
            yield end

        return Payload(f"multipart/form-data; boundary={boundary}", length, chunks())


def read_form(stream: IO[bytes], boundary: str) -> Form:
    """The form in ``stream``. Raises BadRequest, and whatever reading the stream raises."""
    if not 1 <= len(boundary) <= BOUNDARY_BYTES_MAX or not boundary.isascii():
        raise BadRequest(
            f"The Content-Type of a form needs a boundary of 1 to {BOUNDARY_BYTES_MAX} characters."
        )
    reader = _Reader(boundary)
    while data := stream.read(_READ_BYTES):
        reader.take(data)
        # A quick client never makes this greenlet wait, and others want to be served too.
        gevent.sleep(0)
    reader.end()
    return Form(tuple(reader.fields), tuple(reader.files))


@dataclass(frozen=True, slots=True)
class _Part:
    """The part that is being read; ``filename`` is None where it is a field."""

    name: str
    filename: str | None
    content_type: str


class _Reader:
    """Sorts the parts of one form into fields and files as they come."""

    def __init__(self, boundary: str) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[FormFile] = []
        self._splitter = PartSplitter(boundary.encode("ascii"))
        self._part: _Part | None = None
        self._parts = 0
        self._value: list[bytes] = []
        self._content: IO[bytes] | None = None
        self._fields_bytes = 0

    def take(self, data: bytes) -> None:
        """Read on by ``data``. Raises BadRequest."""
        try:
            for found in self._splitter.feed(data):
                if isinstance(found, Head):
                    self._begin(found.headers)
                else:
                    self._go_on(found)
        except HeadTooLarge:
            raise _too_large() from None
        except UnreadableForm as error:
            raise BadRequest(f"The form cannot be read: {error}.") from None

    def end(self) -> None:
        """Nothing follows. Raises BadRequest where something must."""
        try:
            self._splitter.end()
        except UnreadableForm as error:
            raise BadRequest(f"The form cannot be read: {error}.") from None

    def _begin(self, headers: Mapping[str, str]) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise _too_large()
        disposition = headers.get("content-disposition")
        if disposition is None:
            raise BadRequest("The form cannot be read: a part has no Content-Disposition.")
        _, options = parse_options_header(disposition)
        name, filename = options.get("name", ""), options.get("filename")
        if not 1 <= len(name) <= NAME_CHARACTERS_MAX or not _is_plain(name):
            raise BadRequest(
                f"Every part of the form needs a name of 1 to {NAME_CHARACTERS_MAX} printable"
                " characters, without quotes and backslashes."
            )
        self._value.clear()
        self._part = _Part(name, filename, _media_type(headers.get("content-type", "")))
        if filename is not None:
            if not filename:
                # Some readers take a file without a name for a field.
                raise BadRequest("A file needs a filename.", param=name)
            if self._part.content_type.lower().startswith(("multipart/", "message/")):
                raise BadRequest("A part of a form cannot have parts itself.", param=name)
            self._content = _spooled()

    def _go_on(self, content: Content) -> None:
        part = self._part
        assert part is not None
        if part.filename is not None:
            assert self._content is not None
            self._content.write(content.data)
            if content.last:
                size = self._content.seek(0, 2)
                self._content.seek(0)
                self.files.append(
                    FormFile(part.name, part.filename, part.content_type, size, self._content)
                )
            return
        self._fields_bytes += len(content.data)
        if self._fields_bytes > FIELDS_BYTES_MAX:
            raise BadRequest(
                f"The form is too large: at most {FIELDS_BYTES_MAX:,} bytes of fields that are"
                " not files."
            )
        self._value.append(content.data)
        if content.last:
            try:
                # Strictly: a replaced character would be another text than the client's.
                value = b"".join(self._value).decode("utf-8")
            except UnicodeDecodeError:
                raise BadRequest(
                    f"The form cannot be read: {part.name} is not UTF-8.", param=part.name
                ) from None
            self.fields.append((part.name, value))


def _too_large() -> BadRequest:
    return BadRequest(
        f"The form is too large: at most {PARTS_MAX} parts, and {HEAD_BYTES_MAX:,} bytes of"
        " headers in each."
    )


def _spooled() -> IO[bytes]:
    # Closed, and so removed, with the last reference to it: the request's end.
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+b")


def _is_plain(name: str) -> bool:
    """Whether every reader takes ``name`` for the same, quoted as it is."""
    return name.isprintable() and not set(name) & set('"\\')


def _media_type(given: str) -> str:
    """The media type of a file, or that of any bytes where it is not written as one."""
    return given if len(given) <= 200 and _MEDIA_TYPE.fullmatch(given) else _ANY_TYPE


def _head(boundary: str, name: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
    ).encode("utf-8", "surrogatepass")


def _file_head(boundary: str, file: FormFile) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file.name)}";'
        f' filename="{_quoted(file.filename)}"\r\nContent-Type: {file.content_type}\r\n\r\n'
    ).encode("utf-8", "surrogatepass")


def _quoted(text: str) -> str:
    """A name inside quotes, percent-encoded as browsers do (WHATWG HTML, "multipart/form-data").

    The backslash too, which some readers take for an escape: behind it a quote would not end
    the name, and what follows would be another parameter.
    """
    return "".join(f"%{ord(c):02X}" if c < " " or c in '"\\\x7f' else c for c in text)
