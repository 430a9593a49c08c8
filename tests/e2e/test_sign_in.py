"""Signing in at the real server: greenlets, several workers, and an issuer that takes its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from gateway.adapters.accounts import Accounts
from gateway.adapters.os_user import command_line
from gateway.adapters.passwords import hash_password
from gateway.core.roles import Role
from tests.e2e.rig import Rig
from tests.web.control import PASSWORD, form_token
from tests.web.oidc_provider import Provider, running_provider

PATIENCE = 30.0


@pytest.fixture(scope="module")
def issuer() -> Iterator[Provider]:
    with running_provider() as found:
        yield found


@pytest.fixture(scope="module")
def one_worker(long_lived_rig: Callable[..., Rig], issuer: Provider) -> Rig:
    """A deployment of one worker, whose people sign in by ``issuer``."""
    settings = issuer.settings(oidc_admin_groups="platform", oidc_finance_groups="money")
    return long_lived_rig(workers=1, **settings)


def browser(rig: Rig) -> httpx2.Client:
    url = f"http://127.0.0.1:{rig.port}"
    return httpx2.Client(base_url=url, trust_env=False, timeout=PATIENCE)


def sign_in(client: httpx2.Client, email: str, password: str = PASSWORD) -> httpx2.Response:
    token = form_token(client.get("/sign-in").text)
    form = {"email": email, "password": password, "csrf_token": token}
    return client.post("/sign-in", data=form)


def test_an_issuer_that_takes_its_time_keeps_nobody_waiting(
    one_worker: Rig, issuer: Provider
) -> None:
    with browser(one_worker) as person, browser(one_worker) as other:
        begun = person.get("/sign-in/oidc?next=/teams")
        person_data = {"sub": "1", "email": "ann@acme.example", "groups": ["platform"]}
        back = issuer.authorize(begun.headers["location"], **person_data)
        issuer.wait = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(person.get, back)
            assert issuer.waiting.wait(PATIENCE)
            # The one worker serves everybody else meanwhile, and would not if it were held up.
            assert other.get("/healthz").status_code == 200
            assert other.get("/sign-in").status_code == 200
            assert one_worker.tenant(10**9).caller.get("/v1/models").status == 200
            assert not answer.done()
            issuer.wait.set()
            signed_in = answer.result(PATIENCE)
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/teams")
        assert person.get("/").status_code == 200


def test_a_session_counts_at_every_worker_until_it_ends(rig: Rig) -> None:
    email = f"ann-{rig.prefix}@acme.example"
    accounts, by = Accounts(rig.engine), command_line()
    accounts.create(by, email, Role.ADMIN, password_hash=hash_password(PASSWORD))
    with browser(rig) as person:
        assert sign_in(person, email, "wrong horse battery").status_code == 401
        assert sign_in(person, email).status_code == 303
        cookies = dict(person.cookies)

        def look() -> int:
            # A connection of its own, so that any worker may take it.
            with browser(rig) as again:
                again.cookies.update(cookies)
                return again.get("/").status_code

        assert {look() for _ in range(12)} == {200}
        accounts.disable(by, email)
        assert {look() for _ in range(12)} == {303}


def test_many_sign_ins_at_once_keep_nobody_waiting(rig: Rig) -> None:
    email = f"bob-{rig.prefix}@acme.example"
    hashed = hash_password(PASSWORD)
    Accounts(rig.engine).create(command_line(), email, Role.FINANCE, password_hash=hashed)
    tenant = rig.tenant(10**9)

    def attempt(_: int) -> int:
        with browser(rig) as person:
            return sign_in(person, email, "wrong horse battery").status_code

    with ThreadPoolExecutor(24) as threads:
        statuses = list(threads.map(attempt, range(24)))
    assert sorted(statuses) == [401] * 10 + [429] * 14
    assert tenant.caller.get("/v1/models").status == 200


def test_a_new_key_sees_its_own_client_at_once(rig: Rig) -> None:
    tenant = rig.tenant(10**9)
    with browser(rig) as program:
        headers = {"Authorization": f"Bearer {tenant.key.secret}"}
        answer = program.get("/admin/api/v1/me", headers=headers)
        assert answer.status_code == 200
        assert tenant.name in answer.text
        assert program.post("/admin/api/v1/teams", headers=headers, json={}).status_code == 403
