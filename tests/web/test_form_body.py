from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.core.errors import BadRequest, RequestTimeout, UnsupportedEncoding
from gateway.settings import Settings
from gateway.web.form_body import form
from tests.web.test_json_body import Stalled

BODY = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
LARGE = b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n%b\r\n--b--\r\n'
LARGE %= b"x" * 4000
KIND = "multipart/form-data; boundary=b"


def context(body: Any = BODY, **environ: Any) -> Any:
    merged = {
        "wsgi.input": body if hasattr(body, "read") else io.BytesIO(body),
        "wsgi.input_terminated": True,
        "CONTENT_TYPE": KIND,
        **environ,
    }
    return Flask("test").test_request_context(method="POST", environ_overrides=merged)


def test_a_form_is_read_once() -> None:
    with context():
        found = form(Settings())
        assert found.field("a") == "1"
        assert form(Settings()) is found


@pytest.mark.parametrize("length", [str(len(LARGE)), None])
def test_a_form_may_be_larger_than_other_bodies_and_has_a_limit(length: str | None) -> None:
    announced = {"CONTENT_LENGTH": length} if length else {}
    for limit, fits in ((len(LARGE) + 1, True), (len(LARGE) - 1, False)):
        settings = Settings(file_bytes_max=limit, body_bytes_max=1024)
        with context(LARGE, **announced):
            if fits:
                assert form(settings).file("a").size == 4000
            else:
                with pytest.raises(RequestEntityTooLarge):
                    form(settings)


def test_a_form_that_is_cut_short_is_not_taken_for_whole() -> None:
    for length in ({}, {"CONTENT_LENGTH": str(len(BODY))}):
        with context(BODY[:-4], **length), pytest.raises(BadRequest, match="cannot be read"):
            form(Settings())


def test_a_client_that_falls_silent_is_told_so() -> None:
    with context(Stalled(TimeoutError("failed"))), pytest.raises(RequestTimeout):
        form(Settings(client_timeout_seconds=7))


def test_only_plain_forms_are_read() -> None:
    with context(CONTENT_TYPE="application/json"), pytest.raises(BadRequest, match="multipart"):
        form(Settings())
    with context(CONTENT_TYPE="multipart/form-data"), pytest.raises(BadRequest, match="boundary"):
        form(Settings())
    with context(HTTP_CONTENT_ENCODING="gzip"), pytest.raises(UnsupportedEncoding):
        form(Settings())
