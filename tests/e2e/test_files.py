"""Files and uploads through the gateway, with the official SDK: owned, streamed, free."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import openai
import psutil
import pytest
from openai import OpenAI

from gateway.core.policy import Sharing
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import question

MEGABYTE = 1024 * 1024
LARGE_BYTES = 500 * MEGABYTE
GROWTH_MAX = 50 * MEGABYTE


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def upload(sdk: OpenAI, content: bytes = b'{"a": 1}\n', name: str = "lines.jsonl") -> Any:
    return sdk.files.create(file=(name, content), purpose="batch")


def test_a_file_is_kept_described_listed_downloaded_and_deleted(rig: Rig, tenant: Tenant) -> None:
    content = os.urandom(300_000)
    with tenant.caller.sdk() as sdk:
        raw = sdk.files.with_raw_response.create(
            file=("Été.jsonl", content), purpose="batch", expires_after=_in_an_hour()
        )
        made = raw.parse()
        assert (made.filename, made.bytes, made.purpose) == ("Été.jsonl", 300_000, "batch")
        assert made.expires_at == made.created_at + 3600
        assert raw.headers["x-faregate-cost-usd"] == "0.000000000"
        assert sdk.files.retrieve(made.id) == made
        assert sdk.files.content(made.id).read() == content
        other = upload(sdk)
        # Within one second, which is all that the provider tells, the order is by id.
        newest, oldest = (file.id for file in sdk.files.list())
        assert {newest, oldest} == {made.id, other.id}
        assert [file.id for file in sdk.files.list(order="asc", limit=1)] == [oldest, newest]
        assert [file.id for file in sdk.files.list(after=newest).data] == [oldest]
        assert sdk.files.list(purpose="vision").data == []
        assert sdk.files.delete(made.id).deleted
        assert [file.id for file in sdk.files.list()] == [other.id]
        with pytest.raises(openai.NotFoundError):
            sdk.files.retrieve(made.id)
        sdk.files.delete(other.id)
    record = rig.record(raw.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.certainty, record.status) == (0, "exact", 200)
    assert record.rows[0].endpoint == "files"


def _in_an_hour() -> Any:
    return {"anchor": "created_at", "seconds": 3600}


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"purpose": "secret"}, "purpose"), ({"purpose": "batch_output"}, "purpose")],
)
def test_a_purpose_that_is_none_is_refused(
    tenant: Tenant, fields: dict[str, Any], param: str
) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        sdk.files.create(file=("a.txt", b"a"), **fields)
    assert refused.value.param == param


def test_the_providers_refusal_passes_and_leaves_no_file(tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
            upload(sdk, name="lines.txt")
        assert sdk.files.list().data == []


def test_another_clients_file_is_as_unknown_as_any(rig: Rig, tenant: Tenant) -> None:
    stranger = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk, stranger.caller.sdk() as other:
        made = upload(sdk)
        unknown = made.id[:-4] + "zzzz"

        def asks(file_id: str) -> list[Any]:
            return [
                lambda: other.files.retrieve(file_id),
                lambda: other.files.delete(file_id),
                lambda: other.files.content(file_id),
                lambda: other.batches.create(
                    input_file_id=file_id, endpoint="/v1/embeddings", completion_window="24h"
                ),
                lambda: other.chat.completions.create(**_with_file(file_id)),
            ]

        for foreign, nothing in zip(asks(made.id), asks(unknown), strict=True):
            with pytest.raises(openai.NotFoundError) as about_foreign:
                foreign()
            with pytest.raises(openai.NotFoundError) as about_nothing:
                nothing()
            said = str(about_nothing.value.body).replace(unknown, made.id)
            assert str(about_foreign.value.body) == said
        assert other.files.list().data == []
        assert other.files.list(after=made.id).data == []
        assert sdk.files.retrieve(made.id) == made


def _with_file(file_id: str) -> dict[str, Any]:
    part = {"type": "file", "file": {"file_id": file_id}}
    return {**question(), "messages": [{"role": "user", "content": [part]}]}


def test_a_file_of_ones_own_goes_on_to_the_provider_in_a_chat(tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        made = upload(sdk)
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.chat.completions.create(**_with_file(made.id))
    # By the provider: the simulated models read no files.
    assert "only supported by certain models" in refused.value.message


def test_a_team_that_shares_sees_one_anothers_files(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    mate = rig.mate(tenant)
    with tenant.caller.sdk() as sdk, mate.caller.sdk() as other:
        made = upload(sdk)
        with pytest.raises(openai.NotFoundError):
            other.files.retrieve(made.id)
        rig.share(tenant, Sharing.TEAM)
        until(lambda: other.files.list().data, 10, "the gateway to know what the team shares")
        assert other.files.retrieve(made.id) == made
        assert [file.id for file in other.files.list()] == [made.id]
        rig.share(tenant, Sharing.CLIENT)
        assert other.files.list().data == []


# Uploads


def test_an_upload_in_parts_becomes_a_file(tenant: Tenant) -> None:
    content = os.urandom(3 * MEGABYTE)
    with tenant.caller.sdk() as sdk:
        made = sdk.uploads.upload_file_chunked(
            file=content,
            filename="large.jsonl",
            bytes=len(content),
            mime_type="application/jsonl",
            purpose="fine-tune",
            part_size=MEGABYTE,
        )
        assert made.status == "completed"
        assert made.file is not None
        assert sdk.files.retrieve(made.file.id).bytes == len(content)
        assert sdk.files.content(made.file.id).read() == content
        assert made.file.id in [file.id for file in sdk.files.list()]


def test_parts_are_parts_of_this_upload_alone(rig: Rig, tenant: Tenant) -> None:
    stranger = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk, stranger.caller.sdk() as other:
        first, second, foreign = (_begun(one) for one in (sdk, sdk, other))
        elsewhere = sdk.uploads.parts.create(second.id, data=b"abc").id
        theirs = other.uploads.parts.create(foreign.id, data=b"abc").id
        for part in (elsewhere, theirs, "part_unknown"):
            with pytest.raises(openai.NotFoundError) as refused:
                sdk.uploads.complete(first.id, part_ids=[part])
            assert (refused.value.param, refused.value.code) == ("part_ids", "not_found")
        with pytest.raises(openai.BadRequestError):
            sdk.uploads.complete(first.id, part_ids=[])
        calls: tuple[Callable[[], Any], ...] = (
            lambda: other.uploads.cancel(first.id),
            lambda: other.uploads.parts.create(first.id, data=b"abc"),
            lambda: other.uploads.complete(first.id, part_ids=[theirs]),
        )
        for call in calls:
            with pytest.raises(openai.NotFoundError):
                call()
        assert sdk.uploads.cancel(first.id).status == "cancelled"


def _begun(sdk: OpenAI) -> Any:
    return sdk.uploads.create(
        bytes=3, filename="a.jsonl", mime_type="application/jsonl", purpose="batch"
    )


# Size


def _memory(rig: Rig) -> int:
    """Bytes of memory that the gateway's processes have to themselves."""
    process = psutil.Process(rig.gateway.process.pid)
    return max(int(one.memory_full_info().uss) for one in process.children(recursive=True))


def test_a_large_file_passes_through_without_being_in_memory(rig: Rig, tenant: Tenant) -> None:
    boundary = "large"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="large.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    piece = (b"x" * 1023 + b"\n") * 1024
    before, peak = _memory(rig), 0

    def body() -> Any:
        nonlocal peak
        yield head
        for number in range(LARGE_BYTES // MEGABYTE):
            yield piece
            if number % 50 == 49:
                peak = max(peak, _memory(rig))
        yield tail

    reply = tenant.caller.request(
        "POST",
        "/v1/files",
        body(),
        {
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(head) + LARGE_BYTES + len(tail)),
        },
    )
    assert reply.status == 200, reply.body
    made = reply.json
    assert made["bytes"] == LARGE_BYTES
    received = 0
    for data in tenant.caller.pieces(f"/v1/files/{made['id']}/content"):
        received += len(data)
        if received % (50 * MEGABYTE) < len(data):
            peak = max(peak, _memory(rig))
    assert received == LARGE_BYTES
    assert tenant.caller.request("DELETE", f"/v1/files/{made['id']}").status == 200
    growth = max(peak, _memory(rig)) - before
    report(f"{LARGE_BYTES:,} bytes up and down: a worker's memory grew by {growth:,}")
    assert growth < GROWTH_MAX
