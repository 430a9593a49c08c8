"""The directory: what each change does, and that changes come one after another."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from gateway.adapters.directory import Directory, DirectoryError, now
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.price_rows import sync_prices
from gateway.adapters.price_sources import price_list_from_genai
from gateway.adapters.tables import keys, organizations, prices
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.policy import Sharing, hash_key
from tests.databases import open_migrated

USD = 1_000_000_000


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with the schema and nothing in it."""
    engine = open_migrated(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def directory(engine: Engine) -> Directory:
    """A directory with one team and one client."""
    found = Directory(engine)
    found.initialise("Acme")
    found.create_team("research")
    found.create_client("research", "web")
    return found


def test_every_change_moves_the_version_by_one(directory: Directory) -> None:
    key = directory.create_key("web")
    changes: list[Callable[[], Any]] = [
        lambda: directory.create_team("sales"),
        lambda: directory.create_client("sales", "bot"),
        lambda: directory.change_team("sales", Sharing.TEAM),
        lambda: directory.change_client("bot", concurrent_requests=3),
        lambda: directory.change_client("bot", may_fine_tune=True),
        lambda: directory.create_key("web"),
        lambda: directory.rotate_key(key.id, timedelta(hours=1)),
        lambda: directory.revoke_key(key.id),
        lambda: directory.create_budget("b", limit_nano=USD, window=WindowKind.DAY, team="sales"),
        lambda: directory.change_budget("b", limit_nano=2 * USD),
        lambda: directory.remove_budget("b"),
        lambda: directory.add_tag_key("project"),
        lambda: directory.remove_tag_key("project"),
    ]
    for change in changes:
        before = directory.version()
        change()
        assert directory.version() == before + 1


def test_a_refused_change_moves_nothing(directory: Directory) -> None:
    before = directory.version()
    changes: list[Callable[[], Any]] = [
        lambda: directory.create_team("research"),
        lambda: directory.create_team(""),
        lambda: directory.create_client("absent", "bot"),
        lambda: directory.change_team("absent", Sharing.TEAM),
        lambda: directory.change_client("web"),
        lambda: directory.change_client("web", tokens_per_minute=10**13),
        lambda: directory.create_key("web", "\n"),
        lambda: directory.rotate_key(99, timedelta(0)),
        lambda: directory.create_budget("b", limit_nano=2**53, window=WindowKind.DAY),
        lambda: directory.create_budget("b", limit_nano=-1, window=WindowKind.DAY),
        lambda: directory.remove_budget("b"),
    ]
    for change in changes:
        with pytest.raises(DirectoryError):
            change()
    assert directory.version() == before
    assert len(directory.teams()) == 1


def test_nothing_is_changed_before_the_deployment_is_set_up(engine: Engine) -> None:
    with pytest.raises(DirectoryError, match="run `faregate init`"):
        Directory(engine).create_team("research")
    assert Directory(engine).teams() == []


def test_initialising_again_keeps_the_first_name(engine: Engine) -> None:
    assert Directory(engine).initialise("Acme") == "Acme"
    Directory(engine).create_team("research")
    assert Directory(engine).initialise("Other") == "Acme"
    assert Directory(engine).version() == 2


def test_rotation_keeps_the_client_and_its_budgets(directory: Directory, engine: Engine) -> None:
    directory.create_budget("b", limit_nano=USD, window=WindowKind.MONTH, client="web")
    old = directory.create_key("web", "ci")
    before = load_policy(engine)
    new = directory.rotate_key(old.id, timedelta(hours=1), timedelta(days=90))
    after = load_policy(engine)
    assert after.budgets == before.budgets
    assert after.keys[hash_key(new.secret)].client_id == before.keys[hash_key(old.secret)].client_id
    ends = after.keys[hash_key(old.secret)].expires_at
    assert ends is not None
    assert timedelta(minutes=59) < ends - now() <= timedelta(hours=1)
    # Rotated again, with a longer overlap: the old key's end does not move away.
    directory.rotate_key(old.id, timedelta(days=9))
    assert load_policy(engine).keys[hash_key(old.secret)].expires_at == ends
    rows = directory.keys()
    assert {row.name for row in rows} == {"ci"}


def test_a_secret_is_stored_as_its_hash_alone(directory: Directory, engine: Engine) -> None:
    made = directory.create_key("web")
    with engine.connect() as connection:
        row = connection.execute(select(keys)).one()
    assert row.hash == hash_key(made.secret)
    assert made.secret not in map(str, row)
    assert len(made.secret) >= 46, "256 random bits"
    assert (made.secret.startswith("fg-"), made.secret[-4:]) == (True, row.last_four)


def test_a_key_has_256_random_bits(directory: Directory) -> None:
    directory.create_team("t")
    directory.create_client("t", "c")
    secrets = [directory.create_key("c").secret for _ in range(20)]
    for secret in secrets:
        assert secret.startswith("fg-")
        assert len(base64.urlsafe_b64decode(secret[3:] + "=")) * 8 == 256
    # Every place of them is random: none has the same letter in all.
    assert all(len(set(column)) > 1 for column in zip(*(s[3:-1] for s in secrets), strict=True))


def test_the_name_of_a_removed_budget_can_be_used_again(
    directory: Directory, engine: Engine
) -> None:
    def create(limit: int) -> int:
        return directory.create_budget(
            "b" * 100, limit_nano=limit, window=WindowKind.DAY, enforcement=Enforcement.SOFT
        )

    first = create(USD)
    directory.remove_budget("b" * 100)
    assert load_policy(engine).budgets[1] == ()
    second = create(2 * USD)
    directory.remove_budget("b" * 100)
    third = create(3 * USD)
    (budget,) = load_policy(engine).budgets[1]
    assert (budget.id, budget.limit_nano) == (third, 3 * USD)
    assert {row.id for row in directory.budgets(removed=True)} == {first, second, third}


def test_changes_at_the_same_time_are_made_one_after_another(directory: Directory) -> None:
    before = directory.version()
    start = threading.Barrier(6)

    def change(number: int) -> None:
        start.wait()
        directory.create_team(f"team {number}")

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(change, number) for number in range(6)]:
            done.result()
    assert directory.version() == before + 6
    assert len(directory.teams()) == 7


def test_a_change_waits_for_the_one_before_it(directory: Directory, engine: Engine) -> None:
    """Whoever reads a version sees every change up to it, so no change may overtake another."""
    with ThreadPoolExecutor(1) as pool:
        with directory.change():
            waiting = pool.submit(directory.create_team, "second")
            # That something does not happen cannot be awaited.
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            assert len(directory.teams()) == 1
        waiting.result(timeout=30)
    assert len(directory.teams()) == 2


def test_a_deployment_is_set_up_once_by_many(engine: Engine) -> None:
    rows = price_list_from_genai().rows[:5]
    start = threading.Barrier(3)

    def set_up(number: int) -> str:
        start.wait()
        name = Directory(engine).initialise(f"Acme {number}")
        sync_prices(engine, rows)
        return name

    with ThreadPoolExecutor(3) as pool:
        names = {done.result() for done in [pool.submit(set_up, n) for n in range(3)]}
    assert len(names) == 1
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(organizations)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(prices)).scalar() == len(rows)
