"""What SQL knows of the counters in Redis: their epoch, and the newest change that it has.

Two rows of the table ``deployment``. The recorder moves the sequence in the transaction that writes
the records; a rebuild moves the epoch before it opens Redis.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.tables import deployment

_COUNTED = "counted"


class Recorded(NamedTuple):
    """Epoch and sequence as SQL has them; 0 before the first."""

    epoch: int
    sequence: int
    late: int = 0
    """The epoch whose counters miss something: usage of an earlier one was recorded after they
    had been set."""


def recorded_state(engine: Engine) -> Recorded:
    """The epoch in force, and the highest sequence of any recorded event."""
    with engine.connect() as connection:
        query = select(deployment).where(deployment.c.name.in_(Recorded._fields))
        found = {row.name: int(row.value) for row in connection.execute(query)}
    return Recorded(*(found.get(name, 0) for name in Recorded._fields))


def move_sequence(connection: Connection, sequence: int) -> None:
    """Note that an event of ``sequence`` is recorded. It never goes back."""
    if sequence > 0:
        _raise(connection, "sequence", sequence)


def note_counted(connection: Connection, epoch: int) -> None:
    """Say, in the transaction that then reads the sums, that the counters of ``epoch`` are set
    from them. It waits for records that are being written; later ones are told by it."""
    change = update(deployment).where(deployment.c.name == _COUNTED)
    connection.execute(change.values(value=epoch))


def note_recorded(connection: Connection, epoch: int) -> None:
    """Say, in the transaction that writes records, that usage of ``epoch`` is new among them.

    Such as a recorder had read when Redis lost it, and writes down when the counters have been
    set without it: then they must be set once more.
    """
    query = select(deployment.c.value).where(deployment.c.name == _COUNTED)
    counted = connection.execute(query.with_for_update(read=True)).scalar_one_or_none() or 0
    if epoch < counted:
        _raise(connection, "late", counted)


def note_epoch(engine: Engine, epoch: int) -> None:
    """Write down the epoch of counters that SQL knew none of."""
    with engine.begin() as connection:
        _raise(connection, "epoch", epoch)


def next_epoch(engine: Engine, at_least: int) -> int:
    """Begin an epoch later than all before, in SQL first: who follows must come after it."""
    with engine.begin() as connection:
        _raise(connection, "epoch", at_least - 1)
        _raise(connection, _COUNTED, 0)
        change = update(deployment).where(deployment.c.name == "epoch")
        connection.execute(change.values(value=deployment.c.value + 1))
        query = select(deployment.c.value).where(deployment.c.name == "epoch")
        return int(connection.execute(query).scalar_one())


def _raise(connection: Connection, name: str, value: int) -> None:
    """Raise a row to ``value``, unless it is there or beyond."""
    module = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = module.insert(deployment).values(name=name, value=value)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"value": value}, where=deployment.c.value < value
        )
    )
