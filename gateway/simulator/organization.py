"""The administrator's reports: usage by minute, hour or day, and costs by day.

Source: OpenAI API reference, "Usage" and "Costs", and the types of the official SDK
(``openai.types.admin.organization``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.simulator.bill import Bill, Cell, Kind
from gateway.simulator.bill_faults import Rounding
from gateway.simulator.bill_prices import PICO, Billed
from gateway.simulator.errors import bad_request, invalid_type, missing_parameter
from gateway.simulator.listing import one_of
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request

PATHS = "/v1/organization/"
PROJECT = "proj_simulated"
USER = "user-simulated"

_WIDTHS = {"1m": (60, 60, 1440), "1h": (3_600, 24, 168), "1d": (86_400, 7, 31)}
"""Seconds of a bucket, buckets on a page by default and at most, by ``bucket_width``."""
_COST_PAGE = (86_400, 7, 180)

_ANYONE = ("project_id", "user_id", "api_key_id", "model")
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "input_cached_tokens",
    "input_cache_write_tokens",
    "input_uncached_tokens",
    "input_text_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "output_text_tokens",
)


@dataclass(frozen=True)
class _Report:
    """A report of usage: what its results count and may be grouped by."""

    family: str
    counts: tuple[str, ...]
    groups: tuple[str, ...] = _ANYONE


_REPORTS = (
    _Report("completions", _TOKENS, (*_ANYONE, "batch", "service_tier")),
    _Report("embeddings", ("input_tokens",)),
    _Report("moderations", ("input_tokens",)),
    _Report("images", ("images",), (*_ANYONE, "size", "source")),
    _Report("audio_speeches", ("characters",)),
    _Report("audio_transcriptions", ("seconds",)),
)
_COST_GROUPS = ("project_id", "user_id", "line_item", "api_key_id")


class _Query:
    """The query of a report, read and checked. Raises ProviderError (400)."""

    def __init__(self, request: Request, groups: tuple[str, ...], page: tuple[int, int, int]):
        self._pairs = parse_qsl(request.query, keep_blank_values=True)
        self.width, default, largest = page
        start = self._integer("start_time")
        if start is None:
            raise missing_parameter("start_time")
        self.start = start // self.width * self.width
        self.end = self._integer("end_time") or int(time.time())
        self.limit = self._integer("limit") or default
        if not 1 <= self.limit <= largest:
            raise bad_request(f"Invalid 'limit': between 1 and {largest}.", "limit")
        self.groups = self.all("group_by")
        for group in self.groups:
            one_of(group, groups, "group_by")
        if (page_mark := self.one("page")) is not None:
            mark = page_mark.removeprefix("page_")
            if not mark.isdecimal():
                raise bad_request("Invalid 'page'.", "page")
            self.start = int(mark)

    def all(self, name: str) -> tuple[str, ...]:
        """All values of a list, in either of the forms that it may have."""
        return tuple(value for key, value in self._pairs if key in (name, f"{name}[]"))

    def one(self, name: str) -> str | None:
        """The last value of ``name``."""
        return next((value for key, value in reversed(self._pairs) if key == name), None)

    def _integer(self, name: str) -> int | None:
        text = self.one(name)
        if text is None:
            return None
        if not text.isdecimal():
            raise invalid_type(name, "an integer", text)
        return int(text)


def organization_routes(bill: Bill) -> list[Route]:
    """The reports of ``bill``."""
    reports = [
        ("GET", f"{PATHS}usage/{report.family}", _usage_of(bill, report)) for report in _REPORTS
    ]
    return [*reports, ("GET", f"{PATHS}costs", lambda request: _costs(bill, request))]


def _usage_of(bill: Bill, report: _Report) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        width = _Query(request, report.groups, (1, 1, 1440)).one("bucket_width") or "1d"
        one_of(width, tuple(_WIDTHS), "bucket_width")
        query = _Query(request, report.groups, _WIDTHS[width])
        models = query.all("models")

        def results(cells: Iterable[Cell]) -> list[dict[str, Any]]:
            found: dict[tuple[Any, ...], Counter[str]] = {}
            for cell in cells:
                if cell.kind.family == report.family and cell.kind.model in (
                    models or (cell.kind.model,)
                ):
                    group = tuple(_group(cell.kind, name) for name in query.groups)
                    found.setdefault(group, Counter()).update(cell.counts)
            return [_usage(report, query, group, counts) for group, counts in found.items()]

        return _page(bill, query, results)

    return answer


def _usage(
    report: _Report, query: _Query, group: tuple[Any, ...], counts: Counter[str]
) -> dict[str, Any]:
    counts["seconds"] = -(-counts["audio_ms"] // 1000)
    return {
        "object": f"organization.usage.{report.family}.result",
        **{name: counts[name] for name in ("num_model_requests", *report.counts)},
        **dict.fromkeys(report.groups),
        **dict(zip(query.groups, group, strict=True)),
    }


def _group(kind: Kind, name: str) -> Any:
    if name == "batch":
        return kind.service_tier == "batch"
    known = {"project_id": PROJECT, "user_id": USER}
    return known.get(name) or getattr(kind, name)


def _costs(bill: Bill, request: Request) -> Answer:
    query = _Query(request, _COST_GROUPS, _COST_PAGE)

    def results(cells: Iterable[Cell]) -> list[dict[str, Any]]:
        found: dict[tuple[Any, ...], _Amount] = {}
        for cell in cells:
            for line in cell.lines.values():
                known = {
                    "project_id": PROJECT,
                    "user_id": USER,
                    "api_key_id": cell.kind.api_key_id,
                    "line_item": f"{line.model}, {line.item}" if line.model else line.item,
                }
                group = tuple(known[name] for name in query.groups)
                factor = bill.faults.factor(line.model, line.item, cell.start)
                found.setdefault(group, _Amount()).add(line, factor)
        return [
            _cost(query, group, amount, bill.faults.rounding) for group, amount in found.items()
        ]

    return _page(bill, query, results)


class _Amount:
    """The sum of some lines."""

    def __init__(self) -> None:
        self.exact = Fraction(0)
        self.noisy = 0.0
        self.count = Fraction(0)
        self.units: set[str | None] = set()

    def add(self, line: Billed, factor: Fraction) -> None:
        self.exact += Fraction(line.pico, PICO) * factor
        self.noisy += float(Fraction(line.pico, PICO) * factor)
        self.count += Fraction(line.count, line.per)
        self.units.add(line.unit)

    def value(self, rounding: Rounding) -> float:
        if rounding is Rounding.CENTS:
            return round(float(self.exact), 2)
        return self.noisy if rounding is Rounding.NOISE else float(self.exact)


def _cost(
    query: _Query, group: tuple[Any, ...], amount: _Amount, rounding: Rounding
) -> dict[str, Any]:
    by_item = "line_item" in query.groups
    unit = next(iter(amount.units)) if len(amount.units) == 1 else None
    return {
        "object": "organization.costs.result",
        "amount": {"value": amount.value(rounding), "currency": "usd"},
        **dict.fromkeys(_COST_GROUPS),
        **dict(zip(query.groups, group, strict=True)),
        "quantity": float(amount.count) if by_item else None,
        "quantity_unit": unit if by_item else None,
    }


def _page(
    bill: Bill, query: _Query, results: Callable[[Iterable[Cell]], list[dict[str, Any]]]
) -> Answer:
    """A page of buckets, empty ones too, as the provider gives them."""
    starts = range(query.start, query.end, query.width)
    shown = starts[: query.limit]
    by_bucket: dict[int, list[Cell]] = {start: [] for start in shown}
    if shown:
        end = min(shown[-1] + query.width, query.end)
        for cell in bill.cells(query.start, end):
            by_bucket[cell.start // query.width * query.width].append(cell)
    more = len(starts) > len(shown)
    page: Mapping[str, Any] = {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": start,
                "end_time": min(start + query.width, query.end),
                "results": results(by_bucket[start]),
            }
            for start in shown
        ],
        "has_more": more,
        "next_page": f"page_{starts[len(shown)]}" if more else None,
    }
    return Answer(orjson.dumps(page))
