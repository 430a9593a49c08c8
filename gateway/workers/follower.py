"""Follows long-lived work to its end and settles it to the client that began it.

The provider is asked about every open batch, job and background response in turn. Until one
ends its hold is kept alive; when it ends it is settled with the provider's own figures. All
that is needed is in SQL and Redis, so any recorder process can take over from any other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import openai
import structlog
from openai import OpenAI
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway import failpoints
from gateway.adapters.database import first_line
from gateway.adapters.object_rows import open_work, settle_work
from gateway.adapters.owned_objects import OwnedObjects
from gateway.adapters.price_rows import price_by_id
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.usage_rows import ended
from gateway.core.holds import Hold
from gateway.core.long_work import LEASE_SECONDS, Work, work_from
from gateway.core.objects import Kind, OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.prices import Price
from gateway.core.progress import Follow, Gone, Progress
from gateway.core.usage import Certainty

MOVE_SECONDS = 0.5
"""How often owners that wait in Redis are moved to SQL."""

_READ_BYTES = 256 * 1024

_log = structlog.get_logger(__name__)


class AskingProvider:
    """Reads from the provider with the SDK, which is off the hot path here."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    def json(self, path: str) -> Mapping[str, Any]:
        """The object at ``path`` below the base URL. Raises Gone and the SDK's errors."""
        with _telling_what_is_gone():
            found = self._client.get(path, cast_to=object)
        return found if isinstance(found, dict) else {}

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of the content at ``path``. Raises Gone, and the SDK's and httpx's errors.

        A line ends with a line feed and nothing else: text inside JSON may have other breaks.
        """
        file_id = path.removeprefix("/files/").removesuffix("/content")
        with (
            _telling_what_is_gone(),
            self._client.files.with_streaming_response.content(file_id) as answer,
        ):
            rest = bytearray()
            for data in answer.iter_bytes(_READ_BYTES):
                *lines, last = data.split(b"\n")
                for line in lines:
                    yield bytes(rest) + line
                    rest.clear()
                rest += last
            if rest:
                yield bytes(rest)


@contextmanager
def _telling_what_is_gone() -> Iterator[None]:
    """Raises Gone for what the provider does not have."""
    try:
        yield
    except openai.NotFoundError as error:
        if error.type is None:
            # Not in the provider's words: something before it does not find the provider.
            raise
        raise Gone from error


class Follower:
    """Any number may run: settling is idempotent, and each end is written down once."""

    def __init__(
        self,
        budgets: RedisBudgets,
        engine: Engine,
        client: OpenAI | None,
        kinds: Mapping[Kind, Follow],
        seconds: float,
    ) -> None:
        """``client`` is None where no provider key is set: owners are moved all the same."""
        self._budgets = budgets
        self._engine = engine
        self._objects = OwnedObjects(engine, budgets)
        self._asking = None if client is None else AskingProvider(client)
        self._kinds = kinds
        self._seconds = seconds

    def run(self, stop: threading.Event) -> None:
        """Move owners and follow work until ``stop`` is set, through failures of either store."""
        waited = self._seconds
        while not stop.wait(pause := min(MOVE_SECONDS, self._seconds)):
            waited += pause
            try:
                self._objects.move()
                if waited >= self._seconds:
                    waited = 0.0
                    self.step()
            except StoreDown as error:
                _log.warning("follower.redis_unreachable", reason=first_line(error))
            except SQLAlchemyError as error:
                _log.warning("follower.database_refuses", reason=first_line(error))

    def step(self) -> int:
        """Ask about every open piece of work once; returns how many ended.

        Raises the stores' errors.
        """
        if self._asking is None:
            return 0
        ended = 0
        for one in open_work(self._engine):
            follow = self._kinds.get(one.kind)
            if follow is None or one.work is None:
                continue
            try:
                ended += self._followed(follow, one, work_from(one.work))
            except openai.OpenAIError as error:
                _log.warning("follower.provider", object=one.name, reason=first_line(error))
            except (SQLAlchemyError, StoreDown):
                raise
            except Exception:
                # One piece of work that cannot be followed must not stop the others.
                _log.exception("follower.failed", object=one.name)
        return ended

    def _followed(self, follow: Follow, one: OwnedObject, work: Work) -> bool:
        """Ask about one piece of work, and settle it where it has ended; whether it has."""
        assert self._asking is not None
        self._budgets.hand_over(work.hold.request_id, work.hold.client_id, LEASE_SECONDS)
        try:
            progress = follow(self._asking, one, work, self._price)
        except Gone:
            # The provider does not know it any more, so nobody will say what it cost.
            progress = Progress(outcome=_nobody_knows(work))
        failpoints.hit("follower.asked")
        self._keep(one, progress)
        if progress.outcome is None:
            return False
        self._settle(one, work.hold, progress.outcome)
        return True

    def _keep(self, one: OwnedObject, progress: Progress) -> None:
        """Write down what is new, before it is settled: owners come before everything."""
        made = [
            replace(
                one,
                kind=found.kind,
                id=found.id,
                created_at=found.created_at,
                model=found.model,
                data=found.data,
                deleted=False,
                work=None,
                work_state=None,
            )
            for found in progress.found
        ]
        if progress.data is not None and progress.data != one.data:
            made.append(replace(one, data=progress.data))
        if made:
            self._objects.note(made)
            self._objects.move()

    def _settle(self, one: OwnedObject, hold: Hold, outcome: Outcome) -> None:
        charged = self._charged(hold)
        if charged is not None:
            resolution = self._budgets.settle(
                hold,
                outcome.cost_nano,
                outcome.tokens,
                outcome.output_tokens,
                outcome.as_json(),
                charged_nano=charged,
            )
            _log.info("work.settled", object=one.name, outcome=resolution.outcome)
            if outcome.cost_nano > hold.amount_nano:
                _log.error("hold.overrun", request_id=hold.request_id, object=one.name)
        failpoints.hit("follower.settled")
        settle_work(self._engine, one.kind, one.id)

    def _charged(self, hold: Hold) -> int | None:
        """What was charged when the hold expired, -1 where it did not; None where it is settled.

        An earlier run may have settled it and ended before it could write that down. Redis
        forgets ended holds in time, or with what it loses, and what it has forgotten it would
        charge again: the record in SQL tells.
        """
        known = ended(self._engine, [hold.request_id]).get(hold.request_id)
        return -1 if known is None else known.charged_nano

    def _price(self, price_id: int | None) -> Price | None:
        return None if price_id is None else price_by_id(self._engine, price_id)


def _nobody_knows(work: Work) -> Outcome:
    return Outcome(
        status=404,
        certainty=Certainty.UNKNOWN,
        cost_nano=work.hold.amount_nano,
        service_tier=work.tier,
        reason="object_gone",
    )
