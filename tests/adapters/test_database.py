from __future__ import annotations

from sqlalchemy import make_url, text

from gateway.adapters.database import open_engine


def test_a_commit_in_sqlite_is_synced(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "2 is FULL"
    engine.dispose()


def test_a_commit_in_postgresql_is_synced_whatever_the_database_says(postgres_url: str) -> None:
    engine = open_engine(postgres_url, pooled=False)
    with engine.connect() as connection:
        name = connection.dialect.identifier_preparer.quote(str(make_url(postgres_url).database))
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
        connection.commit()
    for pooled in (False, True):
        again = open_engine(postgres_url, pooled=pooled)
        with again.connect() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        again.dispose()


def test_a_postgresql_that_the_network_lost_is_given_up(postgres_url: str) -> None:
    engine = open_engine(postgres_url, pooled=False)
    with engine.connect() as connection:
        found = connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
    assert int(found["tcp_user_timeout"]) == 20_000
    assert int(found["keepalives_idle"]) + 3 * int(found["keepalives_interval"]) == 25
    engine.dispose()
