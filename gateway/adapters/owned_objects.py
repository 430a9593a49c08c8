"""Whose each object is: noted in Redis before its id reaches the client, kept in SQL.

Redis is there whenever requests are served, and forgets nothing that it has answered; SQL may
be locked for a while. So an owner is noted in Redis, and the recorder process moves it to SQL.
Looking one up asks Redis first and SQL second: what has just left the one is in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Engine

from gateway.adapters import object_rows
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_script import Script
from gateway.core.objects import Kind, OwnedObject, Page, PageWish
from gateway.core.policy import Client

_MOVE_BATCH = 500


class OwnedObjects:
    """The objects of one deployment. Every call blocks its thread."""

    def __init__(self, engine: Engine, budgets: RedisBudgets) -> None:
        self.engine = engine
        self._redis: Any = budgets.redis
        self._waiting = budgets.keys.objects_waiting
        self._take = Script("take_objects")

    def note(self, objects: Sequence[OwnedObject]) -> None:
        """Note the owner of ``objects``, or what is new about them. Raises StoreDown."""
        if not objects:
            return
        try:
            self._redis.hset(self._waiting, mapping=object_rows.named(objects))
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def noted(self, kind: Kind, object_id: str) -> OwnedObject | None:
        """The object where Redis still has it. Raises StoreDown."""
        try:
            found = self._redis.hget(self._waiting, f"{kind.value}/{object_id}")
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return None if found is None else object_rows.from_json(found)

    def stored(self, kind: Kind, object_id: str) -> OwnedObject | None:
        """The object where SQL has it. Raises SQLAlchemy's errors."""
        return object_rows.find_object(self.engine, kind, object_id)

    def page(self, client: Client, kind: Kind, wish: PageWish) -> Page:
        """One page of what ``client`` may see, the newest included. Raises the stores' errors."""
        self.move()
        return object_rows.page_of_objects(self.engine, client, kind, wish)

    def move(self) -> int:
        """Move what waits in Redis to SQL; returns how many. Raises the stores' errors."""
        moved = 0
        try:
            cursor = 0
            while True:
                cursor, found = self._redis.hscan(self._waiting, cursor, count=_MOVE_BATCH)
                if found:
                    objects = [object_rows.from_json(value) for value in found.values()]
                    object_rows.write_objects(self.engine, objects)
                    pairs = [part for pair in found.items() for part in pair]
                    moved += int(self._take(self._redis, [self._waiting], pairs))
                if not cursor:
                    return moved
        except RedisError as error:
            raise StoreDown(str(error)) from error
