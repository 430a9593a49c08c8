"""``multipart/form-data`` bodies: the fields and files of a form."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from gateway.simulator.errors import bad_request
from gateway.simulator.server import Request


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form."""

    filename: str
    content_type: str
    data: bytes


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
    parser = FormDataParser(max_form_memory_size=None, silent=False)
    try:
        _, fields, files = parser.parse(BytesIO(request.body), kind, len(request.body), options)
    except (ValueError, HTTPException) as error:
        raise bad_request("Could not parse multipart form.") from error
    return Form(
        {name: fields.getlist(name) for name in fields},
        {
            name: [
                Upload(part.filename or "", part.mimetype or "", part.read())
                for part in files.getlist(name)
            ]
            for name in files
        },
    )
