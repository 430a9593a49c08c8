from __future__ import annotations

import gevent
import pytest
from sqlalchemy import Engine, text

from gateway.adapters import policies as policies_module
from gateway.adapters.directory import Directory
from gateway.adapters.policies import Policies, PolicyUnavailable
from gateway.adapters.policy_loader import load_policy
from gateway.core.policy import Policy
from tests.adapters.redis_world import World


@pytest.fixture
def directory(engine: Engine) -> Directory:
    made = Directory(engine)
    made.initialise("Acme")
    return made


@pytest.fixture
def policies(engine: Engine, directory: Directory, world: World) -> Policies:
    return Policies(engine, world.budgets)


def test_a_newer_policy_is_loaded_once_for_all_who_wait(
    policies: Policies,
    directory: Directory,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = policies.current
    directory.create_team("search")
    loads = []

    def load(engine: Engine) -> Policy:
        loads.append(engine)
        return original(engine)

    original = load_policy
    monkeypatch.setattr(policies_module, "load_policy", load)
    waiting = [gevent.spawn(policies.catch_up, seen) for _ in range(20)]
    gevent.joinall(waiting, raise_error=True)
    assert len(loads) == 1
    assert policies.current.version == directory.version()
    assert all(task.value is policies.current for task in waiting)
    # Committed and not announced yet: the reader announces it.
    assert world.budgets.policy_version() == directory.version()


def test_a_redis_that_lost_its_counters_is_not_opened(
    policies: Policies, directory: Directory, world: World
) -> None:
    seen = policies.current
    directory.create_team("search")
    world.budgets.redis.flushall()
    assert policies.catch_up(seen).version == directory.version()
    assert world.budgets.policy_version() is None


def test_a_database_that_is_away_leaves_the_policy_as_it_is(
    policies: Policies, engine: Engine
) -> None:
    seen = policies.current
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE budgets RENAME TO away"))
    with pytest.raises(PolicyUnavailable):
        policies.catch_up(seen)
    assert policies.current is seen
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO budgets"))
    assert policies.catch_up(seen) is policies.current is not seen


def test_the_watch_follows_redis_through_failures(
    policies: Policies,
    directory: Directory,
    engine: Engine,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policies_module, "WATCH_SECONDS", 0.005)
    watch = gevent.spawn(policies.watch)
    first = policies.current
    directory.create_team("search")
    gevent.sleep(0.03)
    assert policies.current is first
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE budgets RENAME TO away"))
    world.budgets.publish(directory.version())
    gevent.sleep(0.03)
    assert policies.current is first
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO budgets"))
    with gevent.Timeout(10):
        while policies.current is first:
            gevent.sleep(0.005)
    assert policies.current.version == directory.version()
    assert not watch.dead
    watch.kill()
