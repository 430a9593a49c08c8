from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from gateway.adapters.redis_script import Script
from tests.adapters.redis_world import World


def test_a_script_is_sent_whole_to_a_server_that_does_not_know_it(world: World) -> None:
    redis, key = world.budgets.redis, world.budgets.keys.policy_version
    names = [world.budgets.keys.state, key]
    script = Script("publish")
    for _ in range(2):
        redis.script_flush()
        assert [script(redis, names, [n, "server"]) for n in (5, 6)] == [5, 6]
        assert redis.script_exists(script.sha) == [True]
        redis.delete(key)


def test_what_several_scripts_share_comes_before_them() -> None:
    alone, whole = Script("settle"), Script("settle", with_hold=True)
    head, _, body = alone.source.partition("\n")
    assert whole.source.startswith(head)
    assert whole.source.endswith(body)
    assert "local function read_hold" in whole.source
    assert "local function read_hold" not in alone.source
    assert whole.sha != alone.sha


def test_an_error_of_a_script_is_raised(world: World) -> None:
    with pytest.raises(ResponseError):
        Script("publish")(world.budgets.redis, [], [])
