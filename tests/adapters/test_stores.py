from __future__ import annotations

from pathlib import Path

import pytest
import redis

from gateway.adapters.embedded_redis import EmbeddedRedis
from gateway.adapters.stores import StoreNotRunning, embedded_folder, redis_url_of
from gateway.settings import Settings


def test_a_configured_redis_is_used_as_it_is() -> None:
    settings = Settings(redis_url="redis://:secret@example.com:6380/3")
    assert redis_url_of(settings) == "redis://:secret@example.com:6380/3"


def test_the_embedded_redis_is_found_by_its_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "a folder, 100% odd", redis_url=None)
    with pytest.raises(StoreNotRunning, match="faregate serve"):
        redis_url_of(settings)
    with (
        EmbeddedRedis(embedded_folder(settings), appendfsync="no") as server,
        redis.Redis.from_url(redis_url_of(settings)) as client,
    ):
        assert int(client.info("server")["process_id"]) == server.pid
