from __future__ import annotations

import pytest
from redis import Redis
from sqlalchemy import text

from gateway.adapters.price_gaps import full_prices
from gateway.adapters.price_rows import sync_prices
from gateway.web.current import Services
from tests.web.dashboard.visitor import Site, words


def services_of(site: Site) -> Services:
    found = site.app.extensions["faregate"]
    assert isinstance(found, Services)
    return found


def test_what_is_wrong_is_named_with_what_to_do(site: Site, redis_url: str) -> None:
    visitor = site.visitor()
    page = words(visitor.get("/health"))
    assert "Suspended while the counters are rebuilt" in page
    assert "faregate price sync" in page
    sync_prices(site.engine, full_prices())
    keys = services_of(site).budgets.keys
    with Redis.from_url(redis_url) as redis:
        now_ms = redis.time()[0] * 1000
        redis.hset(
            keys.present, mapping={"host-1": f"{now_ms}:0", "host-2": f"{now_ms - 60_000}:0"}
        )
        redis.xadd(keys.events, {"x": "y"}, id=f"{now_ms - 15_000}-0")
        redis.xadd(keys.rejected_events, {"x": "y"})
        redis.zadd(keys.holds, {"r1": now_ms})
    page = words(visitor.get("/health"))
    assert "1 gateway worker is there." in page
    assert "1 events wait, the oldest for 1" in page
    assert "could not be recorded, and were set aside" in page
    assert "Holds in flight 1" in page
    assert "host-2 gone" in page
    assert "faregate price sync" not in page
    rows = visitor.ask("/health?format=csv").text
    assert "Admission,bad," in rows


def test_stores_that_do_not_answer_are_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = site.visitor()
    with site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE deployment RENAME TO away"))
    assert "no such table: deployment" in words(visitor.get("/health"))
    with site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO deployment"))
    at = services_of(site)
    monkeypatch.setattr(at.budgets, "redis", Redis.from_url("redis://127.0.0.1:1"))
    page = words(visitor.get("/health"))
    assert "Database good" in page
