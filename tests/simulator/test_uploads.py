from __future__ import annotations

import hashlib
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Upload

PARTS = (b'{"a": 1}\n' * 10, b'{"b": 2}\n' * 20)
WHOLE = b"".join(PARTS)


def _begun(client: OpenAI, size: int = len(WHOLE), **rest: Any) -> Upload:
    return client.uploads.create(
        **{
            "bytes": size,
            "filename": "parts.jsonl",
            "mime_type": "text/jsonl",
            "purpose": "fine-tune",
            **rest,
        }
    )


def test_parts_become_a_file_in_the_order_given(client: OpenAI) -> None:
    upload = _begun(client)
    assert (upload.object, upload.status, upload.file) == ("upload", "pending", None)
    assert upload.id.startswith("upload_")
    assert upload.expires_at == upload.created_at + 3_600
    second = client.uploads.parts.create(upload.id, data=PARTS[1])
    first = client.uploads.parts.create(upload.id, data=PARTS[0])
    assert (first.object, first.upload_id) == ("upload.part", upload.id)
    done = client.uploads.complete(
        upload.id,
        part_ids=[first.id, second.id],
        md5=hashlib.md5(WHOLE).hexdigest(),
    )
    assert (done.status, done.bytes) == ("completed", len(WHOLE))
    assert done.file is not None
    assert (done.file.filename, done.file.purpose) == ("parts.jsonl", "fine-tune")
    assert client.files.content(done.file.id).content == WHOLE
    with pytest.raises(openai.BadRequestError, match="completed"):
        client.uploads.cancel(upload.id)


def test_what_does_not_match_is_refused_and_may_be_tried_again(client: OpenAI) -> None:
    upload = _begun(client)
    parts = [client.uploads.parts.create(upload.id, data=data).id for data in PARTS]
    bad: list[dict[str, Any]] = [
        {"part_ids": parts[:1]},
        {"part_ids": [*parts, "part_unknown"]},
        {"part_ids": []},
        {"part_ids": parts, "md5": "0" * 32},
    ]
    for arguments in bad:
        with pytest.raises(openai.BadRequestError):
            client.uploads.complete(upload.id, **arguments)
    assert client.uploads.complete(upload.id, part_ids=parts).status == "completed"


def test_a_cancelled_upload_takes_no_parts(client: OpenAI) -> None:
    upload = _begun(client)
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        client.uploads.parts.create(upload.id, data=b"x")
    with pytest.raises(openai.NotFoundError):
        client.uploads.cancel("upload_unknown")


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"size": 8 * 1024**3 + 1}, {"purpose": "x"}, {"filename": 3}]
)
def test_bad_uploads_are_refused(client: OpenAI, change: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        _begun(client, **change)


def test_a_part_is_at_most_64_mb(client: OpenAI) -> None:
    size = 64 * 1024 * 1024 + 1
    upload = _begun(client, size)
    with pytest.raises(openai.APIStatusError) as refused:
        client.uploads.parts.create(upload.id, data=bytes(size))
    assert refused.value.status_code == 413


def test_the_sdk_uploads_a_file_in_chunks(client: OpenAI, tmp_path: Any) -> None:
    path = tmp_path / "chunked.jsonl"
    path.write_bytes(WHOLE)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=64
    )
    assert done.file is not None
    assert client.files.content(done.file.id).content == WHOLE
