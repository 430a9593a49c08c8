"""The objects of one gateway process: noted whatever happens, looked up off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import NoReturn

import gevent
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.database import first_line
from gateway.adapters.owned_objects import OwnedObjects
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.threads import on_sql_thread
from gateway.core.errors import StoreUnavailable
from gateway.core.objects import ID_PATTERN, Kind, OwnedObject, Page, PageWish, not_found
from gateway.core.policy import Client

RECENT_SECONDS = 5.0
RECENT_MAX = 1000
_RETRY_SECONDS = 0.2

_log = structlog.get_logger(__name__)


class ObjectKeeper:
    """Notes owners and finds objects for greenlets."""

    def __init__(self, engine: Engine, budgets: RedisBudgets) -> None:
        self._store = OwnedObjects(engine, budgets, on_sql_thread)
        self._unnoted: dict[str, OwnedObject] = {}
        self._recent: dict[str, tuple[OwnedObject, float]] = {}

    def note(self, objects: Sequence[OwnedObject]) -> None:
        """Note the owners of ``objects``. Where Redis is away they are kept here until it is
        back: the provider has made them, and the client gets its answer all the same."""
        if not objects:
            return
        for one in objects:
            self._recent.pop(one.id, None)
        try:
            self._store.note(objects)
        except StoreDown as error:
            _log.warning("object.noted_later", objects=len(objects), reason=str(error))
            self._unnoted.update((one.name, one) for one in objects)
            return
        for one in objects:
            # What is noted now was made of what waited.
            self._unnoted.pop(one.name, None)

    def note_late(self) -> None:
        """Note what waits for Redis, for ever; run it as a greenlet."""
        while True:
            gevent.sleep(_RETRY_SECONDS)
            self.note_waiting()

    def note_waiting(self) -> bool:
        """Note what waits for Redis; False where it is still away."""
        waiting = list(self._unnoted.values())
        try:
            self._store.note(waiting)
        except StoreDown:
            return False
        for one in waiting:
            if self._unnoted.get(one.name) is one:
                del self._unnoted[one.name]
        return True

    def find(
        self, client: Client, kind: Kind, object_id: object, param: str | None = None
    ) -> OwnedObject:
        """The object that ``client`` names, which must be one it may see.

        ``param`` is the request's field that names it. Raises NotFound, StoreUnavailable.
        """
        if not isinstance(object_id, str) or not ID_PATTERN.fullmatch(object_id):
            raise not_found(kind, str(object_id), param)
        found = self._unnoted.get(f"{kind.value}/{object_id}") or self._look_up(kind, object_id)
        if found is None or not found.visible_to(client):
            raise not_found(kind, object_id, param)
        return found

    def find_model(self, client: Client, name: str) -> OwnedObject:
        """As ``find`` for a fine-tuned model, which one chat after the other asks for: what was
        found serves for RECENT_SECONDS. Raises NotFound, StoreUnavailable."""
        found, until = self._recent.get(name, (None, 0.0))
        if found is not None and monotonic() < until and found.visible_to(client):
            return found
        found = self.find(client, Kind.MODEL, name, "model")
        if len(self._recent) >= RECENT_MAX:
            self._recent.clear()
        self._recent[name] = found, monotonic() + RECENT_SECONDS
        return found

    def _look_up(self, kind: Kind, object_id: str) -> OwnedObject | None:
        try:
            noted = self._store.noted(kind, object_id)
        except StoreDown as error:
            _unavailable(error)
        if noted is not None:
            return noted
        try:
            return self._store.stored(kind, object_id)
        except SQLAlchemyError as error:
            _unavailable(error)

    def page(self, client: Client, kind: Kind, wish: PageWish) -> Page:
        """One page of what ``client`` may see of ``kind``. Raises StoreUnavailable."""
        try:
            return self._store.page(client, kind, wish)
        except (SQLAlchemyError, StoreDown) as error:
            _unavailable(error)

    def move(self) -> None:
        """Bring to SQL what it does not have yet; where it is away, that comes later."""
        try:
            self._store.move()
        except (SQLAlchemyError, StoreDown) as error:
            _log.warning("objects.moved_later", reason=first_line(error))


def _unavailable(error: Exception) -> NoReturn:
    _log.warning("objects.unavailable", reason=first_line(error))
    raise StoreUnavailable(
        "The gateway cannot look up at the moment whose this object is. Try again shortly.",
        headers={"retry-after": "1"},
    ) from None
