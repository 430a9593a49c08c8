from __future__ import annotations

import threading

import pytest

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.sign_in_limits import (
    ADDRESS_TRIES,
    EMAIL_TRIES,
    WINDOW_SECONDS,
    SignInLimits,
    TooManyTries,
)
from tests.adapters.redis_world import World, open_world


@pytest.fixture
def world(redis_url: str) -> World:
    return open_world(redis_url)


def test_many_at_once_are_no_way_around(world: World) -> None:
    limits = SignInLimits(world.budgets)
    let_through: list[int] = []

    def attempt(number: int) -> None:
        try:
            limits.count(f"192.0.2.{number}", "Ann@acme.example")
        except TooManyTries:
            return
        let_through.append(number)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(4 * EMAIL_TRIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_through) == EMAIL_TRIES
    with pytest.raises(TooManyTries) as refused:
        limits.count(None, "ann@ACME.example")
    assert refused.value.of == "e-mail address"
    assert 0 < refused.value.wait_seconds <= WINDOW_SECONDS


def test_every_counter_ends_by_itself(world: World) -> None:
    limits = SignInLimits(world.budgets)
    limits.count("192.0.2.1", "ann@acme.example")
    limits.forgive("192.0.2.1", "ann@acme.example")
    # Also where what is forgiven was not counted here any more.
    limits.forgive("192.0.2.2", "bob@acme.example")
    found = list(world.budgets.redis.scan_iter(match="*sign-ins*"))
    assert len(found) == 2
    for key in found:
        assert 0 < world.budgets.redis.ttl(key) <= WINDOW_SECONDS
        assert b"ann" not in key


def test_a_network_has_more_tries_which_success_gives_back(world: World) -> None:
    limits = SignInLimits(world.budgets)
    for number in range(ADDRESS_TRIES):
        limits.count("192.0.2.1", f"{number}@acme.example")
    with pytest.raises(TooManyTries) as refused:
        limits.count("192.0.2.1", "x@acme.example")
    assert refused.value.of == "address"
    limits.forgive("192.0.2.1", "1@acme.example")
    limits.forgive("192.0.2.1", "2@acme.example")
    limits.count("192.0.2.1", "x@acme.example")


def test_what_cannot_be_counted_is_not_let_through(free_port: int) -> None:
    nowhere = connect(f"redis://127.0.0.1:{free_port}", 1.0)
    limits = SignInLimits(RedisBudgets(nowhere, RedisKeys("faregate"), 60))
    with pytest.raises(StoreDown):
        limits.count("192.0.2.1", "ann@acme.example")
    with pytest.raises(StoreDown):
        limits.forgive("192.0.2.1", "ann@acme.example")
