"""The usage events that wait in Redis, set down in a file of the audit's own while it runs.

There may be a million of them when SQL has been away: too many for memory, and each is asked for by
its request several times. SQLite deletes the file with the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from gateway.core.events import UsageEvent

_BATCH = 500


class Event(NamedTuple):
    """What the audit needs of one usage event. Amounts in nano-dollars."""

    request_id: str
    kind: str
    outcome: str
    certainty: str
    cost_nano: int
    hold_nano: int
    price_id: int | None
    budget_windows: str
    epoch: int
    sequence: int


_COLUMNS = ", ".join(Event._fields)


class Waiting:
    """The events that waited at the moment of the look. Use it in one thread; close it."""

    def __init__(self) -> None:
        # A name of no characters: on disk as soon as it is large, and gone when it is closed.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(
            f"CREATE TABLE events (position INTEGER PRIMARY KEY, {_COLUMNS}, recorded DEFAULT 0)"
        )
        self._file.execute("CREATE INDEX by_request ON events (request_id, kind)")

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def add(self, events: Sequence[UsageEvent]) -> None:
        """Take more events, in the order of the stream."""
        marks = ", ".join("?" for _ in Event._fields)
        self._file.execute("BEGIN")
        self._file.executemany(
            f"INSERT INTO events ({_COLUMNS}) VALUES ({marks})",  # noqa: S608 - our own names
            [
                (
                    *(event.row[name] for name in Event._fields[:-2]),
                    event.epoch,
                    event.sequence,
                )
                for event in events
            ],
        )
        self._file.execute("COMMIT")

    def compare(self, recorded: Callable[[Sequence[str]], set[tuple[str, str]]]) -> None:
        """Mark the events that have a record: those that ``recorded`` names, by request and kind.

        ``recorded`` is asked for some requests at a time.
        """
        last = 0
        while True:
            page = self._file.execute(
                "SELECT position, request_id, kind FROM events WHERE position > ?"
                " ORDER BY position LIMIT ?",
                (last, _BATCH),
            ).fetchall()
            if not page:
                return
            last = page[-1][0]
            known = recorded(sorted({row[1] for row in page}))
            self._file.executemany(
                "UPDATE events SET recorded = 1 WHERE position = ?",
                [(row[0],) for row in page if (row[1], row[2]) in known],
            )

    def __len__(self) -> int:
        """All events that waited."""
        return self._number("SELECT count(*) FROM events")

    def not_recorded(self) -> int:
        """How many have no record yet."""
        return self._number("SELECT count(*) FROM events WHERE recorded = 0")

    def pending(self) -> Iterator[Event]:
        """The events that have no record yet."""
        query = f"SELECT {_COLUMNS} FROM events WHERE recorded = 0 ORDER BY position"  # noqa: S608
        return (Event(*row) for row in self._file.execute(query))

    def pending_ends(self) -> Iterator[dict[str, list[tuple[str, str]]]]:
        """Kind and outcome of each of these events, by request; some requests at a time."""
        query = (
            "SELECT request_id, group_concat(kind || ':' || outcome) FROM events"
            " WHERE recorded = 0 GROUP BY request_id"
        )
        found = self._file.execute(query)
        while batch := found.fetchmany(_BATCH):
            yield {one: [_end(end) for end in ends.split(",")] for one, ends in batch}

    def windows(self) -> Iterator[str]:
        """The budget windows of all events, as holds list them."""
        return (row[0] for row in self._file.execute("SELECT budget_windows FROM events"))

    def knows(self, request_id: str, kind: str | None = None) -> bool:
        """Whether an event of this request waited."""
        query = "SELECT 1 FROM events WHERE request_id = ?"
        asked = [request_id]
        if kind is not None:
            query, asked = f"{query} AND kind = ?", [request_id, kind]
        return self._file.execute(f"{query} LIMIT 1", asked).fetchone() is not None

    def out_of_order(self) -> Iterator[tuple[str, int, int]]:
        """Events whose change is not later than that of the event before them: request, that
        change, and the one before."""
        query = (
            "SELECT request_id, sequence, before FROM (SELECT request_id, sequence,"
            " lag(sequence) OVER (ORDER BY position) AS before FROM events WHERE sequence > 0)"
            " WHERE sequence <= before"
        )
        return iter(self._file.execute(query))

    def later_than(self, sequence: int) -> Iterator[tuple[str, int]]:
        """Events of a change later than ``sequence``: request and change."""
        query = "SELECT request_id, sequence FROM events WHERE sequence > ? ORDER BY sequence"
        return iter(self._file.execute(query, (sequence,)))

    def _number(self, query: str) -> int:
        return int(self._file.execute(query).fetchone()[0])


def _end(text: str) -> tuple[str, str]:
    kind, _, outcome = text.partition(":")
    return kind, outcome


def known_of(requests: Iterable[Any]) -> set[tuple[str, str]]:
    """What ``Waiting.compare`` asks for, from rows of records."""
    return {(row.request_id, row.kind) for row in requests}
