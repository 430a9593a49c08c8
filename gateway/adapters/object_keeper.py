"""The objects of one gateway process: noted whatever happens, looked up off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import gevent
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.database import first_line
from gateway.adapters.owned_objects import OwnedObjects
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.threads import on_sql_thread
from gateway.core.errors import StoreUnavailable
from gateway.core.objects import ID_PATTERN, Kind, OwnedObject, Page, PageWish, not_found
from gateway.core.policy import Client

_RETRY_SECONDS = 0.2

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class ObjectKeeper:
    """Notes owners and finds objects for greenlets."""

    def __init__(self, store: OwnedObjects) -> None:
        self._store = store
        self._unnoted: dict[str, OwnedObject] = {}

    def note(self, objects: Sequence[OwnedObject]) -> None:
        """Note the owners of ``objects``. Where Redis is away they are kept here until it is
        back: the provider has made them, and the client gets its answer all the same."""
        if not objects:
            return
        try:
            self._store.note(objects)
        except StoreDown as error:
            _log.warning("object.noted_later", objects=len(objects), reason=str(error))
            self._unnoted.update((one.name, one) for one in objects)

    def note_late(self) -> None:
        """Note what waits for Redis, for ever; run it as a greenlet."""
        while True:
            gevent.sleep(_RETRY_SECONDS)
            waiting = list(self._unnoted.values())
            try:
                self._store.note(waiting)
            except StoreDown:
                continue
            for one in waiting:
                if self._unnoted.get(one.name) is one:
                    del self._unnoted[one.name]

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

    def _look_up(self, kind: Kind, object_id: str) -> OwnedObject | None:
        try:
            noted = self._store.noted(kind, object_id)
        except StoreDown as error:
            _unavailable(error)
        if noted is not None:
            return noted
        return self._on_thread(lambda: self._store.stored(kind, object_id))

    def page(self, client: Client, kind: Kind, wish: PageWish) -> Page:
        """One page of what ``client`` may see of ``kind``. Raises StoreUnavailable."""
        return self._on_thread(lambda: self._store.page(client, kind, wish))

    def move(self) -> None:
        """Bring to SQL what it does not have yet; where it is away, that comes later."""
        try:
            self._on_thread(self._store.move)
        except StoreUnavailable:
            return

    def _on_thread(self, call: Callable[[], _T]) -> _T:
        """``call`` where it blocks nobody: drivers of databases hold up their whole thread."""
        try:
            return on_sql_thread(call)
        except (SQLAlchemyError, StoreDown) as error:
            _unavailable(error)


def _unavailable(error: Exception) -> NoReturn:
    _log.warning("objects.unavailable", reason=first_line(error))
    raise StoreUnavailable(
        "The gateway cannot look up at the moment whose this object is. Try again shortly.",
        headers={"retry-after": "1"},
    ) from None
