"""What the tests of pictures and sound share: forms as curl sends them, and what was charged."""

from __future__ import annotations

import http.client
import struct
from collections.abc import Mapping, Sequence
from zlib import compress, crc32

from tests.e2e.rig import Recorded, Rig
from tests.e2e.traffic import Caller, EventStream, Reply, sim

BOUNDARY = "----a-boundary-like-curls"

Part = tuple[str, str, str, bytes]
"""Field name, file name, content type, content."""


def png(width: int, height: int) -> bytes:
    """A black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    rows = (b"\0" + bytes(-(-width // 8))) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", compress(rows))
        + chunk(b"IEND", b"")
    )


def form_body(fields: Sequence[tuple[str, str]], files: Sequence[Part]) -> bytes:
    """``multipart/form-data``, byte by byte."""
    body = b""
    for name, value in fields:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        body += head.encode() + value.encode() + b"\r\n"
    for name, filename, kind, content in files:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}";'
            f' filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        )
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def form_headers(**directives: object) -> dict[str, str]:
    return {"content-type": f"multipart/form-data; boundary={BOUNDARY}", **sim(**directives)}


def send_form(
    caller: Caller,
    path: str,
    fields: Mapping[str, object] | Sequence[tuple[str, str]],
    files: Sequence[Part],
    **directives: object,
) -> Reply:
    """POST a form on a connection of its own."""
    pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
    body = form_body([(name, str(value)) for name, value in pairs], files)
    return caller.request("POST", path, body, form_headers(**directives))


def open_stream(
    caller: Caller, path: str, body: bytes, headers: Mapping[str, str] | None = None
) -> EventStream:
    """POST and read as far as the headers of the answer, events or bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", caller.port, timeout=caller.timeout)
    sent = {"authorization": f"Bearer {caller.key}", "content-type": "application/json"}
    connection.request("POST", path, body, {**sent, **(headers or {})})
    return EventStream(connection)


def charged_exactly(rig: Rig, request_id: str) -> Recorded:
    """The record of a request, which must be just what the provider charged, within the hold."""
    record = rig.record(request_id)
    truth = rig.truth_nano(request_id)
    assert (record.cost_nano, record.certainty) == (truth, "exact")
    assert record.rows[0].hold_nano >= truth > 0
    return record


def charged_enough(rig: Rig, request_id: str) -> Recorded:
    """The record of a request, which must say that it is an estimate, not below the truth."""
    record = rig.record(request_id)
    truth = rig.truth_nano(request_id)
    assert record.certainty in ("estimated", "unknown")
    assert record.rows[0].hold_nano >= record.cost_nano >= truth
    return record
