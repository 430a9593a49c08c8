from __future__ import annotations

import pytest
import redis
import sqlalchemy as sa


@pytest.mark.parametrize("round_", [1, 2])
def test_redis_is_empty_for_each_test(redis_url: str, round_: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left behind", round_)


@pytest.mark.parametrize("round_", [1, 2])
def test_databases_are_empty_for_each_test(database_url: str, round_: int) -> None:
    engine = sa.create_engine(database_url)
    try:
        assert sa.inspect(engine).get_table_names() == []
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (n BIGINT)"))
            connection.execute(sa.text("INSERT INTO t VALUES (:n)"), {"n": round_})
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT n FROM t")) == round_
    finally:
        engine.dispose()
