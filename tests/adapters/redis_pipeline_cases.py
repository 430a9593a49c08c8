"""Tests of the pipeline, run by ``test_redis_pipeline.py`` in a process patched by gevent."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
import redis
from redis.exceptions import NoScriptError, ResponseError

from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.core.holds import BudgetRefused
from tests.adapters.redis_world import World, budget
from tests.processes import find_free_port


@pytest.fixture
def pipeline(redis_url: str) -> Iterator[RedisPipeline]:
    made = RedisPipeline(connect(redis_url, 5.0), 5.0)
    yield made
    made.close()


def connections(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return len(client.client_list(_type="normal")) - 1


def test_every_greenlet_gets_its_own_reply(pipeline: RedisPipeline, redis_url: str) -> None:
    def ask(number: int) -> bool:
        text = b"%d" % number * (number % 50)
        return all(pipeline.execute_command("ECHO", text) == text for _ in range(5))

    before = connections(redis_url)
    tasks = [gevent.spawn(ask, number) for number in range(500)]
    gevent.joinall(tasks, raise_error=True)
    assert all(task.value for task in tasks)
    assert connections(redis_url) == before + 1


def test_an_error_is_its_caller_s_alone(pipeline: RedisPipeline) -> None:
    def wrong() -> str:
        with pytest.raises(ResponseError):
            pipeline.execute_command("HGET", "text", "field")
        with pytest.raises(NoScriptError):
            pipeline.execute_command("EVALSHA", "0" * 40, 0)
        return "refused"

    pipeline.execute_command("SET", "text", "x")
    tasks = [
        gevent.spawn(wrong) if n % 2 else gevent.spawn(pipeline.execute_command, "GET", "text")
        for n in range(20)
    ]
    gevent.joinall(tasks, raise_error=True)
    assert [task.value for task in tasks] == [b"x", "refused"] * 10


def test_a_caller_that_gives_up_leaves_the_others_their_replies(pipeline: RedisPipeline) -> None:
    pipeline.execute_command("PING")
    quitter = gevent.spawn(pipeline.execute_command, "ECHO", "quitter")
    others = [gevent.spawn(pipeline.execute_command, "ECHO", str(n)) for n in range(10)]
    gevent.idle()
    quitter.kill()
    gevent.joinall(others, raise_error=True)
    assert [task.value for task in others] == [b"%d" % n for n in range(10)]
    assert pipeline.execute_command("ECHO", "after") == b"after"


def test_a_lost_connection_fails_who_waits_and_is_opened_again(
    pipeline: RedisPipeline, redis_url: str
) -> None:
    pipeline.execute_command("PING")
    waiting = [gevent.spawn(pipeline.execute_command, "BLPOP", "never", 0) for _ in range(3)]
    gevent.sleep(0.05)
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    gevent.joinall(waiting, timeout=5)
    assert [type(task.exception) for task in waiting] == [redis.ConnectionError] * 3
    assert pipeline.execute_command("ECHO", "again") == b"again"


def test_a_silent_server_times_out_and_late_replies_go_to_nobody(redis_url: str) -> None:
    pipeline = RedisPipeline(connect(redis_url, 5.0), 0.2)
    pipeline.execute_command("PING")
    late = [gevent.spawn(pipeline.execute_command, "BLPOP", "later", 0) for _ in range(2)]
    gevent.joinall(late, timeout=5)
    assert [type(task.exception) for task in late] == [redis.TimeoutError] * 2
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("later", "reply of the past")
    assert pipeline.execute_command("ECHO", "mine") == b"mine"
    pipeline.close()


def test_a_server_that_is_not_there() -> None:
    pipeline = RedisPipeline(connect(f"redis://127.0.0.1:{find_free_port()}", 0.5), 0.5)
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            pipeline.execute_command("PING")


def test_budgets_over_one_connection_are_never_overspent(world: World) -> None:
    pipeline = RedisPipeline(connect(world.url, 5.0), 5.0)
    client = connect(world.url, 5.0)
    client.script_flush()
    budgets = RedisBudgets(client, world.budgets.keys, 60, pipeline)
    limited = budget(1, 5_000)

    def ask() -> int:
        try:
            hold = budgets.reserve(world.wish(limited))
        except BudgetRefused:
            return 0
        budgets.settle(hold, 100, 1, 1, b'{"status":200}')
        return 1

    tasks = [gevent.spawn(ask) for _ in range(300)]
    gevent.joinall(tasks, raise_error=True)
    assert sum(task.value or 0 for task in tasks) == 50
    assert world.counters() == (5_000, 0)
    pipeline.close()
