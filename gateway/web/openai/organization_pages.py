"""The envelope of the usage and costs APIs: a page of buckets, each with its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import orjson
import structlog
from flask import Response
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.database import first_line
from gateway.adapters.threads import on_control_thread, on_report_thread
from gateway.core.errors import StoreUnavailable
from gateway.core.time_buckets import Page

Answer = Response

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


def from_sql(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which asks the database. Raises StoreUnavailable where that fails."""
    return _answered(lambda: on_control_thread(call, *args))


def from_reports(call: Callable[..., _T], *args: Any) -> _T:
    """The same for sums over usage, which may take long."""
    return _answered(lambda: on_report_thread(call, *args))


def _answered(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except SQLAlchemyError as error:
        _log.warning("database.unavailable", reason=first_line(error))
        raise StoreUnavailable(
            "The usage records cannot be read at the moment. Try again shortly.",
            headers={"retry-after": "5"},
        ) from None


def page(asked: Page, results: Iterable[tuple[int, dict[str, Any]]]) -> Answer:
    """The answer with every bucket of the page, those too in which nothing was used.

    ``results`` are (start of the bucket, result), in order.
    """
    buckets: dict[int, list[dict[str, Any]]] = {start: [] for start in asked.starts}
    for start, result in results:
        buckets[start].append(result)
    return json_answer(
        {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": start,
                    "end_time": start + asked.width.seconds,
                    "results": found,
                }
                for start, found in buckets.items()
            ],
            "has_more": asked.next_page is not None,
            "next_page": asked.next_page,
        }
    )


def json_answer(content: object) -> Answer:
    """JSON that no cache keeps: it changes with every request recorded, and is not for all."""
    answer = Response(orjson.dumps(content), content_type="application/json")
    answer.headers["cache-control"] = "no-store"
    return answer
