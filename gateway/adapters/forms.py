"""``multipart/form-data``: read strictly with files on disk, and written out again.

A form is read whole before anything is done with it, so that what was checked is what is sent,
and a client that stops half-way has sent nothing to the provider. Files go to disk as they
arrive, and from there to the provider: a large one passes through without being in memory.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from gateway.adapters.upstream import Payload
from gateway.core.errors import BadRequest

PARTS_MAX = 64
FIELDS_BYTES_MAX = 1024 * 1024
"""All fields that are not files together: they are kept in memory."""
BOUNDARY_BYTES_MAX = 70
"""RFC 2046, section 5.1.1."""
IN_MEMORY_BYTES = 256 * 1024
"""A file up to this size does not go to disk."""
_CHUNK_BYTES = 256 * 1024


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
        """The value of a field that may come once. Raises BadRequest where it comes twice."""
        found = [value for key, value in self.fields if key == name]
        if len(found) > 1:
            raise BadRequest(f"{name} is given {len(found)} times.", param=name)
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


def read_form(stream: IO[bytes], boundary: str, length: int | None) -> Form:
    """The form in ``stream``. Raises BadRequest, or werkzeug's 413 beyond the limits."""
    if not 1 <= len(boundary) <= BOUNDARY_BYTES_MAX or not boundary.isascii():
        raise BadRequest(
            f"The Content-Type of a form needs a boundary of 1 to {BOUNDARY_BYTES_MAX} characters."
        )
    parser = MultiPartParser(
        stream_factory=_spooled,
        max_form_memory_size=FIELDS_BYTES_MAX,
        cls=MultiDict,
        max_form_parts=PARTS_MAX,
    )
    try:
        fields, files = parser.parse(stream, boundary.encode("ascii"), length)
    except RequestEntityTooLarge:
        raise BadRequest(
            f"The form is too large: at most {PARTS_MAX} parts, and {FIELDS_BYTES_MAX:,} bytes of"
            " fields that are not files."
        ) from None
    except ValueError as error:
        raise BadRequest(f"The form cannot be read: {error}"[:300]) from None
    return Form(
        tuple(fields.items(multi=True)), tuple(_file(n, f) for n, f in files.items(multi=True))
    )


def _spooled(
    total_content_length: int | None,  # noqa: ARG001 - werkzeug passes these by name
    content_type: str | None,  # noqa: ARG001
    filename: str | None,  # noqa: ARG001
    content_length: int | None = None,  # noqa: ARG001
) -> IO[bytes]:
    # Closed, and so removed, with the last reference to it: the request's end.
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+b")


def _file(name: str, found: FileStorage) -> FormFile:
    content: Any = found.stream
    size = content.seek(0, 2)
    content.seek(0)
    kind = found.content_type or "application/octet-stream"
    return FormFile(name, found.filename or "", kind, size, content)


def _head(boundary: str, name: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
    ).encode("utf-8", "surrogatepass")


def _file_head(boundary: str, file: FormFile) -> bytes:
    kind = "".join(c for c in file.content_type if " " <= c <= "~")
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file.name)}";'
        f' filename="{_quoted(file.filename)}"\r\nContent-Type: {kind}\r\n\r\n'
    ).encode("utf-8", "surrogatepass")


def _quoted(text: str) -> str:
    """A name inside quotes, as browsers write it (WHATWG HTML, "multipart/form-data")."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
