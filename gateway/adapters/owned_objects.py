"""Whose each object is: noted in Redis before its id reaches the client, kept in SQL.

Redis is there whenever requests are served, and forgets nothing that it has answered; SQL may
be locked for a while. So an owner is noted in Redis, and the recorder process moves it to SQL.
Looking one up asks Redis first and SQL second: what has just left the one is in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine

from gateway import failpoints
from gateway.adapters import object_rows
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_script import Script
from gateway.core.objects import ID_PATTERN, Kind, OwnedObject, Page, PageWish
from gateway.core.policy import Client

_MOVE_BATCH = 500

_log = structlog.get_logger(__name__)

OffLoop = Callable[[Callable[[], Any]], Any]
"""Runs what blocks its thread where that holds up nobody."""


def _here(call: Callable[[], Any]) -> Any:
    return call()


class OwnedObjects:
    """The objects of one deployment."""

    def __init__(self, engine: Engine, budgets: RedisBudgets, off_loop: OffLoop = _here) -> None:
        """SQL is asked through ``off_loop``; Redis never is: in a process of greenlets its
        connections belong to the thread of the event loop."""
        self.engine = engine
        self._redis: Any = budgets.redis
        self._waiting = budgets.keys.objects_waiting
        self._off_loop = off_loop
        self._note = Script("note_objects")
        self._take = Script("take_objects")

    def note(self, objects: Sequence[OwnedObject]) -> None:
        """Note the owner of ``objects``, or what is new about them. Raises StoreDown.

        An id that no request could name is left out: it stays unknown, as another's would.
        """
        named = [one for one in objects if ID_PATTERN.fullmatch(one.id)]
        if len(named) < len(objects):
            _log.error("object.id_is_odd", objects=len(objects) - len(named))
        if not named:
            return
        pairs = [part for pair in object_rows.named(named).items() for part in pair]
        try:
            self._note(self._redis, [self._waiting], pairs)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        failpoints.hit("objects.noted")

    def noted(self, kind: Kind, object_id: str) -> OwnedObject | None:
        """The object where Redis still has it. Raises StoreDown."""
        try:
            found = self._redis.hget(self._waiting, f"{kind.value}/{object_id}")
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return None if found is None else object_rows.from_json(found)

    def stored(self, kind: Kind, object_id: str) -> OwnedObject | None:
        """The object where SQL has it. Raises SQLAlchemy's errors."""
        found: OwnedObject | None = self._off_loop(
            lambda: object_rows.find_object(self.engine, kind, object_id)
        )
        return found

    def page(self, client: Client, kind: Kind, wish: PageWish) -> Page:
        """One page of what ``client`` may see, the newest included. Raises the stores' errors."""
        self.move()
        found: Page = self._off_loop(
            lambda: object_rows.page_of_objects(self.engine, client, kind, wish)
        )
        return found

    def move(self) -> int:
        """Move what waits in Redis to SQL; returns how many. Raises the stores' errors."""
        moved = 0
        try:
            cursor = 0
            while True:
                cursor, found = self._redis.hscan(self._waiting, cursor, count=_MOVE_BATCH)
                moved += self._moved(found)
                if not cursor:
                    return moved
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def _moved(self, found: dict[bytes, bytes]) -> int:
        objects, pairs = [], []
        for name, text in found.items():
            try:
                objects.append(object_rows.from_json(text))
            except (ValueError, KeyError, TypeError):
                # Of a newer release, which will move it itself.
                _log.error("object.not_understood", object=name.decode(errors="replace"))
                continue
            pairs += [name, text]
        if not objects:
            return 0
        self._off_loop(lambda: object_rows.write_objects(self.engine, objects))
        failpoints.hit("objects.written")
        return int(self._take(self._redis, [self._waiting], pairs))
