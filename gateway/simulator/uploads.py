"""``/v1/uploads``: large files that come in parts.

Source: OpenAI API reference, "Uploads". An upload that is not completed within an hour expires.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

import gevent
import orjson

from gateway.simulator.blobs import Blob, joined
from gateway.simulator.errors import ProviderError, bad_request, invalid_type, missing_parameter
from gateway.simulator.files import Files, StoredFile, check_purpose
from gateway.simulator.listing import expiry_seconds, random_id, required_text
from gateway.simulator.multipart import form_of
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request

PART_BYTES_MAX = 64 * 1024 * 1024
UPLOAD_BYTES_MAX = 8 * 1024**3
UPLOAD_SECONDS = 3_600


@dataclass(slots=True)
class _Upload:
    id: str
    size: int
    filename: str
    purpose: str
    created_at: int
    file_expires_in: int | None
    status: str = "pending"
    parts: dict[str, Blob] = field(default_factory=dict)
    file: StoredFile | None = None

    def shown(self) -> dict[str, Any]:
        """The ``upload`` object."""
        return {
            "id": self.id,
            "object": "upload",
            "bytes": self.size,
            "created_at": self.created_at,
            "expires_at": self.created_at + UPLOAD_SECONDS,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.status,
            "file": self.file.shown() if self.file else None,
        }


class Uploads:
    """The uploads under way, and the endpoints on them; a completed one is put into ``files``."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._uploads: dict[str, _Upload] = {}

    def routes(self) -> list[Route]:
        """The endpoints by method and path."""
        return [
            ("POST", "/v1/uploads", self._create),
            ("POST", "/v1/uploads/{upload}/parts", self._add_part),
            ("POST", "/v1/uploads/{upload}/complete", self._complete),
            ("POST", "/v1/uploads/{upload}/cancel", self._cancel),
        ]

    def _create(self, request: Request) -> Answer:
        body = request.json()
        size = body.get("bytes")
        if size is None:
            raise missing_parameter("bytes")
        if isinstance(size, bool) or not isinstance(size, int):
            raise invalid_type("bytes", "an integer", size)
        if not 1 <= size <= UPLOAD_BYTES_MAX:
            raise bad_request(
                f"Invalid 'bytes': expected a value between 1 and {UPLOAD_BYTES_MAX}, "
                f"but got {size} instead.",
                "bytes",
                "invalid_value",
            )
        filename = required_text(body, "filename")
        required_text(body, "mime_type")
        purpose = required_text(body, "purpose")
        check_purpose(purpose)
        seconds = expiry_seconds(body.get("expires_after"), "expires_after")
        upload_id = f"upload_{random_id('', 32).lower()}"
        upload = _Upload(upload_id, size, filename, purpose, int(time.time()), seconds)
        self._uploads[upload.id] = upload
        return Answer(orjson.dumps(upload.shown()))

    def _add_part(self, request: Request) -> Answer:
        upload = self._pending(request)
        data = form_of(request).file("data")
        if data is None:
            raise missing_parameter("data")
        if data.content.size > PART_BYTES_MAX:
            raise ProviderError(
                413,
                f"Maximum content size limit ({PART_BYTES_MAX}) exceeded "
                f"({data.content.size} bytes read)",
            )
        received = sum(part.size for part in upload.parts.values()) + data.content.size
        if received > UPLOAD_BYTES_MAX:
            raise bad_request(f"An upload takes at most {UPLOAD_BYTES_MAX} bytes.", "data")
        part_id = f"part_{random_id('', 32).lower()}"
        upload.parts[part_id] = data.content
        part = {
            "id": part_id,
            "object": "upload.part",
            "created_at": int(time.time()),
            "upload_id": upload.id,
        }
        return Answer(orjson.dumps(part))

    def _complete(self, request: Request) -> Answer:
        upload = self._pending(request)
        body = request.json()
        part_ids = body.get("part_ids")
        if part_ids is None:
            raise missing_parameter("part_ids")
        if not isinstance(part_ids, list) or not part_ids:
            raise invalid_type("part_ids", "an array of part ids", part_ids)
        for part_id in part_ids:
            if not isinstance(part_id, str) or part_id not in upload.parts:
                raise bad_request(f"No such Part object: {part_id}", "part_ids")
        parts = [upload.parts[part_id] for part_id in part_ids]
        received = sum(part.size for part in parts)
        if received != upload.size:
            raise bad_request(
                f"The parts have {received} bytes in all, which does not match the {upload.size} "
                "bytes that the upload was created for.",
                "part_ids",
            )
        md5 = body.get("md5")
        upload.status = "completing"
        try:
            whole, digest = gevent.get_hub().threadpool.apply(_joined_with_md5, (parts,))
        finally:
            upload.status = "pending"
        if md5 is not None and str(md5).lower() != digest:
            raise bad_request(
                f"The md5 checksum of the parts is {digest}, which does not match '{md5}'.", "md5"
            )
        upload.file = self._files.add(
            upload.filename, upload.purpose, whole, upload.file_expires_in
        )
        upload.status = "completed"
        upload.parts.clear()
        return Answer(orjson.dumps(upload.shown()))

    def _cancel(self, request: Request) -> Answer:
        upload = self._pending(request)
        upload.status = "cancelled"
        upload.parts.clear()
        return Answer(orjson.dumps(upload.shown()))

    def _pending(self, request: Request) -> _Upload:
        """The upload in the path. Raises ProviderError: 404 unknown, 400 no longer pending."""
        upload_id = request.params["upload"]
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise ProviderError(404, f"No such Upload object: {upload_id}", param="upload_id")
        if upload.status == "pending" and upload.created_at + UPLOAD_SECONDS < time.time():
            upload.status = "expired"
            upload.parts.clear()
        if upload.status != "pending":
            raise bad_request(
                f"Upload {upload.id} has status '{upload.status}' and cannot be changed any more."
            )
        return upload


def _joined_with_md5(parts: list[Blob]) -> tuple[Blob, str]:
    """The whole file, and its MD5 as the client computes it; runs on a thread."""
    digest = hashlib.md5(usedforsecurity=False)
    whole = joined(parts)
    for piece in whole.pieces():
        digest.update(piece)
    return whole, digest.hexdigest()
