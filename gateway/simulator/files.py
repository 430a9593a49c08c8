"""``/v1/files``: stored files and their content. They live as long as the process.

Source: OpenAI API reference, "Files". Where it is silent: files of the purposes assistants,
vision and user_data cannot be downloaded again, as the provider's own error says; a file's
lines are looked at when they are used, not when they are uploaded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from gateway.simulator.blobs import MEMORY_BYTES_MAX, Blob
from gateway.simulator.errors import ProviderError, bad_request
from gateway.simulator.listing import expiry_seconds, one_of, page_of, random_id
from gateway.simulator.multipart import Form, form_of
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request

FILE_BYTES_MAX = 512 * 1024 * 1024
LIST_LIMIT_MAX = 10_000
BATCH_EXPIRY_SECONDS = 2_592_000
"""Files for batches expire after 30 days where the request says nothing."""

PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
_NOT_DOWNLOADABLE = frozenset({"assistants", "vision", "user_data"})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that the provider keeps. Times are seconds since 1970."""

    id: str
    filename: str
    purpose: str
    content: Blob
    created_at: int
    expires_at: int | None

    def has_expired(self) -> bool:
        """Whether the provider has deleted it by itself."""
        return self.expires_at is not None and self.expires_at < time.time()

    def shown(self) -> dict[str, Any]:
        """The ``file`` object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.content.size,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """The files of the organization, and the endpoints on them."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def routes(self) -> list[Route]:
        """The endpoints by method and path."""
        return [
            ("POST", "/v1/files", self._create),
            ("GET", "/v1/files", self._list),
            ("GET", "/v1/files/{file}", self._get),
            ("DELETE", "/v1/files/{file}", self._delete),
            ("GET", "/v1/files/{file}/content", self._content),
        ]

    def add(
        self, filename: str, purpose: str, content: Blob, expires_in: int | None = None
    ) -> StoredFile:
        """Store a file; ``expires_in`` is in seconds."""
        now = int(time.time())
        if expires_in is None and purpose == "batch":
            expires_in = BATCH_EXPIRY_SECONDS
        expires_at = None if expires_in is None else now + expires_in
        stored = StoredFile(random_id("file-", 22), filename, purpose, content, now, expires_at)
        self._files[stored.id] = stored
        return stored

    def find(self, file_id: str) -> StoredFile:
        """The file with this id. Raises ProviderError (404)."""
        stored = self._files.get(file_id)
        if stored is not None and stored.has_expired():
            del self._files[file_id]
            stored = None
        if stored is None:
            raise ProviderError(404, f"No such File object: {file_id}", param="id")
        return stored

    def _create(self, request: Request) -> Answer:
        form = form_of(request)
        purpose = form.one("purpose")
        if purpose is None:
            raise bad_request("'purpose' is a required property")
        check_purpose(purpose)
        upload = form.file("file")
        if upload is None:
            raise bad_request("'file' is a required property")
        if upload.content.size > FILE_BYTES_MAX:
            raise ProviderError(
                413,
                f"Maximum content size limit ({FILE_BYTES_MAX}) exceeded "
                f"({upload.content.size} bytes read)",
            )
        if not upload.content.size:
            raise bad_request("File is empty.", "file")
        if purpose == "batch" and not upload.filename.endswith(".jsonl"):
            raise bad_request("Invalid file format for Batch API. Must be .jsonl")
        seconds = expiry_seconds(_expiry_of(form), "expires_after")
        stored = self.add(upload.filename, purpose, upload.content, seconds)
        return Answer(orjson.dumps(stored.shown()))

    def _list(self, request: Request) -> Answer:
        arguments = request.arguments()
        order = arguments.get("order", "desc")
        one_of(order, ("asc", "desc"), "order")
        purpose = arguments.get("purpose")
        shown = [
            stored.shown()
            for stored in self._files.values()
            if purpose in (None, stored.purpose) and not stored.has_expired()
        ]
        return page_of(
            shown,
            request,
            limit_default=LIST_LIMIT_MAX,
            limit_max=LIST_LIMIT_MAX,
            ascending=order == "asc",
        )

    def _get(self, request: Request) -> Answer:
        return Answer(orjson.dumps(self.find(request.params["file"]).shown()))

    def _delete(self, request: Request) -> Answer:
        stored = self.find(request.params["file"])
        del self._files[stored.id]
        return Answer(orjson.dumps({"id": stored.id, "object": "file", "deleted": True}))

    def _content(self, request: Request) -> Answer:
        stored = self.find(request.params["file"])
        if stored.purpose in _NOT_DOWNLOADABLE:
            raise bad_request(f"Not allowed to download files of purpose: {stored.purpose}")
        name = stored.filename
        plain = name.isascii() and name.isprintable() and '"' not in name
        shown = f'filename="{name}"' if plain else f"filename*=utf-8''{quote(name)}"
        answer = Answer(
            b"",
            content_type="application/octet-stream",
            headers={"content-disposition": f"attachment; {shown}"},
        )
        if stored.content.size > MEMORY_BYTES_MAX:
            answer.pieces, answer.length = stored.content.pieces(), stored.content.size
        else:
            answer.body = stored.content.read()
        return answer


def check_purpose(purpose: object) -> None:
    """Raises ProviderError (400) for a purpose that clients cannot give to files."""
    if purpose not in PURPOSES:
        raise bad_request(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")


def _expiry_of(form: Form) -> dict[str, str] | None:
    """The form's expiry policy, whose fields come one by one."""
    names = ("anchor", "seconds")
    policy = {name: form.one(f"expires_after[{name}]") for name in names}
    given = {name: value for name, value in policy.items() if value is not None}
    return given or None
