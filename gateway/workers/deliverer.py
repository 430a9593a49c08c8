"""Delivers alerts: at least once each, again and again until a receiver takes them.

Channels are served side by side, so a receiver that hangs keeps only its own alerts waiting.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.alert_events import SENT, Delivery, due, note_answer, take
from gateway.adapters.alert_senders import AlertSender, Answer
from gateway.adapters.database import first_line
from gateway.core.alerts import Verdict

PAUSE_SECONDS = 0.5
CHANNELS_AT_ONCE = 8

NOTE_AGAIN_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Pauses in which a database that does not answer is told again what was sent: what is not written
down within the lease is sent again."""

_GONE = Answer(Verdict.FAILED, "the channel was removed")

_log = structlog.get_logger(__name__)


class Deliverer:
    """Any number may run: SQL lets one of them have each attempt."""

    def __init__(
        self, engine: Engine, sender: AlertSender, pause_seconds: float | None = None
    ) -> None:
        self._engine = engine
        self._sender = sender
        self._pause_seconds = PAUSE_SECONDS if pause_seconds is None else pause_seconds
        self._busy: set[int] = set()
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set, through failures of the database."""
        self._stop = stop
        pool = ThreadPoolExecutor(CHANNELS_AT_ONCE, thread_name_prefix="deliverer")
        try:
            while not stop.wait(self._pause_seconds):
                try:
                    self.step(pool)
                except SQLAlchemyError as error:
                    _log.warning("deliverer.database_refuses", reason=first_line(error))
                except Exception:
                    # Alerts are worth less than records: see Alerter.
                    _log.exception("deliverer.failed")
        finally:
            # Not waited for: the recorder has events to write down, and what is being sent is
            # either written down in time or sent again by the next process.
            pool.shutdown(wait=False, cancel_futures=True)

    def step(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Begin what is due, of channels that are not busy. Raises SQLAlchemy's errors."""
        by_channel: dict[int, list[Delivery]] = defaultdict(list)
        for delivery in due(self._engine, datetime.now(UTC)):
            by_channel[delivery.channel.id].append(delivery)
        begun = []
        for channel_id, deliveries in by_channel.items():
            if channel_id in self._busy:
                continue
            self._busy.add(channel_id)
            begun.append(pool.submit(self._deliver_all, channel_id, deliveries))
        return begun

    def _deliver_all(self, channel_id: int, deliveries: Sequence[Delivery]) -> None:
        try:
            for delivery in deliveries:
                if self._stop.is_set() or not self._deliver(delivery):
                    return
        except SQLAlchemyError as error:
            _log.warning("deliverer.database_refuses", reason=first_line(error))
        except Exception:
            _log.exception("deliverer.failed")
        finally:
            self._busy.discard(channel_id)

    def _deliver(self, delivery: Delivery) -> bool:
        """Make one attempt; False where its channel had better be left alone for now."""
        if not take(self._engine, delivery, datetime.now(UTC)):
            return True
        gone = delivery.channel_gone
        answer = _GONE if gone else self._sender.send(delivery.channel, delivery.message)
        state = self._note(delivery, answer)
        tell = _log.info if state == SENT else _log.warning
        tell(
            "alert.delivery",
            alert=delivery.message.id,
            channel=delivery.channel.name,
            attempt=delivery.attempts + 1,
            state=state,
            reason=answer.error,
        )
        return answer.verdict is not Verdict.AGAIN

    def _note(self, delivery: Delivery, answer: Answer) -> str:
        for pause in NOTE_AGAIN_SECONDS:
            try:
                return note_answer(
                    self._engine,
                    delivery,
                    answer,
                    datetime.now(UTC),
                    random.random(),  # noqa: S311
                )
            except SQLAlchemyError as error:
                _log.warning("deliverer.database_refuses", reason=first_line(error))
                self._stop.wait(pause)
        return note_answer(self._engine, delivery, answer, datetime.now(UTC), 0.5)
