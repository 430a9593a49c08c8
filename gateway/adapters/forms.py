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
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from gateway.adapters.upstream import Payload
from gateway.core.errors import BadRequest

PARTS_MAX = 64
FIELDS_BYTES_MAX = 1024 * 1024
"""All fields that are not files together: they are kept in memory."""
PART_HEAD_BYTES_MAX = 16 * 1024
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
    reader.take(None)
    return Form(tuple(reader.fields), tuple(reader.files))


class _Reader:
    """Sorts the parts of one form into fields and files as they come."""

    def __init__(self, boundary: str) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[FormFile] = []
        self._decoder = MultipartDecoder(
            boundary.encode("ascii"),
            max_form_memory_size=_READ_BYTES + PART_HEAD_BYTES_MAX,
            max_parts=PARTS_MAX,
        )
        self._part: Field | File | None = None
        self._value: list[bytes] = []
        self._content: IO[bytes] | None = None
        self._fields_bytes = 0

    def take(self, data: bytes | None) -> None:
        """Read on by ``data``; None is the end. Raises BadRequest."""
        try:
            self._decoder.receive_data(data)
            while not isinstance(event := self._decoder.next_event(), NeedData | Epilogue):
                if isinstance(event, Field | File):
                    self._begin(event)
                elif isinstance(event, Data):
                    self._go_on(event)
        except RequestEntityTooLarge:
            raise BadRequest(
                f"The form is too large: at most {PARTS_MAX} parts, and"
                f" {PART_HEAD_BYTES_MAX:,} bytes of headers in each."
            ) from None
        except ValueError as error:
            raise BadRequest(f"The form cannot be read: {error}"[:300]) from None

    def _begin(self, part: Field | File) -> None:
        name: str | None = part.name  # None where the part has none, whatever the type says
        if not name or len(name) > NAME_CHARACTERS_MAX or not _is_plain(name):
            raise BadRequest(
                f"Every part of the form needs a name of 1 to {NAME_CHARACTERS_MAX} printable"
                " characters, without quotes and backslashes."
            )
        self._part = part
        self._value.clear()
        if isinstance(part, File):
            if not part.filename:
                # Some readers take a file without a name for a field.
                raise BadRequest("A file needs a filename.", param=name)
            if _media_type(part).lower().startswith(("multipart/", "message/")):
                raise BadRequest("A part of a form cannot have parts itself.", param=name)
            self._content = _spooled()

    def _go_on(self, event: Data) -> None:
        part = self._part
        assert part is not None
        if isinstance(part, File):
            assert self._content is not None
            self._content.write(event.data)
            if not event.more_data:
                self.files.append(_file(part, self._content))
            return
        self._fields_bytes += len(event.data)
        if self._fields_bytes > FIELDS_BYTES_MAX:
            raise BadRequest(
                f"The form is too large: at most {FIELDS_BYTES_MAX:,} bytes of fields that are"
                " not files."
            )
        self._value.append(event.data)
        if not event.more_data:
            # Strictly: a replaced character would be another text than the client's.
            self.fields.append((part.name, b"".join(self._value).decode("utf-8")))


def _spooled() -> IO[bytes]:
    # Closed, and so removed, with the last reference to it: the request's end.
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+b")


def _is_plain(name: str) -> bool:
    """Whether every reader takes ``name`` for the same, quoted as it is."""
    return name.isprintable() and not set(name) & set('"\\')


def _media_type(part: File) -> str:
    """The media type of a file, or that of any bytes where it is not written as one."""
    given = part.headers.get("content-type", "")
    return given if len(given) <= 200 and _MEDIA_TYPE.fullmatch(given) else _ANY_TYPE


def _file(part: File, content: IO[bytes]) -> FormFile:
    size = content.seek(0, 2)
    content.seek(0)
    return FormFile(part.name, part.filename, _media_type(part), size, content)


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
