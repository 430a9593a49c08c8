from __future__ import annotations

from gateway.adapters.passwords import METHOD, check_password, hash_password

PASSWORD = "correct horse battery"


def test_a_password_is_stored_with_a_salt_of_its_own() -> None:
    one, other = hash_password(PASSWORD), hash_password(PASSWORD)
    assert one != other
    assert one.startswith(f"{METHOD}$")
    assert len(one) <= 256
    assert PASSWORD not in one
    assert check_password(one, PASSWORD)
    assert not check_password(one, PASSWORD + " ")
    assert not check_password(one, "")
    assert not check_password(one, one)


def test_nobody_has_no_password() -> None:
    for given in ("", "None", PASSWORD):
        assert not check_password(None, given)
