from __future__ import annotations

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.multipart import form_of
from gateway.simulator.server import Request

BODY = (
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--x\r\nContent-Disposition: form-data; name="a[]"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="a[]"\r\n\r\n2\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="b.jsonl"\r\n'
    b"Content-Type: application/jsonl\r\n\r\n{}\n\r\n--x--\r\n"
)


def _request(body: bytes, kind: str) -> Request:
    return Request("POST", "/v1/files", "", {"content-type": kind}, body, True, True)


def test_fields_and_files() -> None:
    form = form_of(_request(BODY, "multipart/form-data; boundary=x"))
    assert form.one("purpose") == "batch"
    assert form.fields["a[]"] == ["1", "2"]
    assert form.one("nothing") is None
    file = form.file("file")
    assert file is not None
    assert (file.filename, file.content_type, file.data) == (
        "b.jsonl",
        "application/jsonl",
        b"{}\n",
    )
    assert form.file("image") is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (BODY, "application/json"),
        (BODY, "multipart/form-data"),
        (BODY[:-20], "multipart/form-data; boundary=x"),
        (b"", ""),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(ProviderError) as refused:
        form_of(_request(body, kind))
    assert refused.value.status == 400
