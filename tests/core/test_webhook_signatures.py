from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.webhook_signatures import new_secret, secret_bytes, signed_headers


def test_the_example_of_the_specification() -> None:
    """Source: the test vectors of the reference libraries, github.com/standard-webhooks."""
    found = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200), st.integers(0, 2**40))
def test_signatures_are_the_hmac_of_id_time_and_body(key: bytes, body: bytes, at: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    found = signed_headers(secret, "msg_1", at, body)["webhook-signature"]
    mac = hmac.new(key, b"msg_1." + str(at).encode() + b"." + body, hashlib.sha256)
    assert found == "v1," + base64.b64encode(mac.digest()).decode()


def test_new_secrets_differ_and_have_256_bits() -> None:
    found = {new_secret() for _ in range(50)}
    assert len(found) == 50
    assert {len(secret_bytes(secret)) for secret in found} == {32}


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_c2hvcnQ=", "A" * 44, "whsec_" + "*" * 44, "whsec_" + "A" * 100],
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        secret_bytes(secret)
