"""``multipart/form-data`` bodies: the fields and files of a form."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import gevent
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from gateway.simulator.blobs import Blob, new_file
from gateway.simulator.errors import bad_request
from gateway.simulator.server import Request


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form."""

    filename: str
    content_type: str
    held: Blob | bytes

    @property
    def content(self) -> Blob:
        """The file's bytes, on disk where they are many."""
        return Blob(self.held) if isinstance(self.held, bytes) else self.held

    @property
    def data(self) -> bytes:
        """All the bytes, in memory."""
        return self.content.read()


@dataclass(frozen=True, slots=True)
class Form:
    """A form: each name may come several times (``image[]``, ``timestamp_granularities[]``)."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The first value of a field."""
        values = self.fields.get(name)
        return values[0] if values else None

    def file(self, name: str) -> Upload | None:
        """The first file of a name."""
        files = self.files.get(name)
        return files[0] if files else None


def form_of(request: Request) -> Form:
    """The form in the body of ``request``. Raises ProviderError (400) where there is none."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise bad_request("Invalid content type. Send multipart/form-data with a boundary.")
    if request.spool is None:
        return _parsed(BytesIO(request.body), len(request.body), kind, options)
    length = request.spool.seek(0, os.SEEK_END)
    request.spool.seek(0)
    # On a thread, so that half a gigabyte does not stall the others.
    parsed: Form = gevent.get_hub().threadpool.apply(
        _parsed, (request.spool, length, kind, options)
    )
    return parsed


def _parsed(body: IO[bytes], length: int, kind: str, options: dict[str, str]) -> Form:
    def stream_for(*_: Any, **__: Any) -> IO[bytes]:
        return cast("IO[bytes]", new_file())

    parser = FormDataParser(stream_for, max_form_memory_size=None, silent=False)
    try:
        _, fields, files = parser.parse(body, kind, length, options)
    except (ValueError, HTTPException) as error:
        raise bad_request("Could not parse multipart form.") from error
    return Form(
        {name: fields.getlist(name) for name in fields},
        {
            name: [
                Upload(part.filename or "", part.mimetype or "", _blob_of(part.stream))
                for part in files.getlist(name)
            ]
            for name in files
        },
    )


def _blob_of(stream: IO[bytes]) -> Blob:
    return Blob(cast("SpooledTemporaryFile[bytes]", stream))
