"""The provider's own reports: what it bills by day and line item, and usage by the hour.

Read with the official SDK and an administrator's key, which no other part of Faregate has.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import openai

from gateway.adapters.provider_connections import TRUSTED_CERTIFICATES
from gateway.core.bill_lines import (
    BillLine,
    BillNames,
    UnreadableBill,
    item_of,
    nano_of,
    quantity_of,
)
from gateway.core.prices import Meter
from gateway.core.reconciling import HourlyUse
from gateway.settings import Settings, SettingsError

_COST_DAYS = 180
_HOURS = 168
"""Buckets on a page at most. Source: OpenAI API reference, "Costs" and "Usage"."""

_PAGES_MAX = 10_000
_RETRIES = 2


class BillUnavailable(Exception):
    """The provider does not give its bill; the message says why."""


class ProviderBill:
    """The bill of the configured provider."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError without an administrator's key."""
        key = settings.openai_admin_key
        if key is None:
            raise SettingsError(
                "The provider shows its bill to administrators alone: set"
                " FAREGATE_OPENAI_ADMIN_KEY to an admin key (sk-admin-...)."
            )
        self.provider = urlsplit(settings.upstream_url).netloc.rpartition("@")[2][:256]
        self._client = openai.OpenAI(
            admin_api_key=key.get_secret_value(),
            base_url=settings.upstream_url,
            max_retries=_RETRIES,
            timeout=settings.upstream_connect_timeout_seconds * 12,
            http_client=openai.DefaultHttpxClient(
                trust_env=False, verify=ssl.create_default_context(cafile=TRUSTED_CERTIFICATES)
            ),
        )

    def lines(self, since: datetime, until: datetime, names: BillNames) -> list[BillLine]:
        """What is billed from ``since`` to before ``until``, both starts of days in UTC.

        Raises BillUnavailable, and UnreadableBill for what cannot be compared.
        """
        usage = self._client.admin.organization.usage
        found = []
        for day, result in self._results(usage.costs, since, until, _COST_DAYS, ["line_item"]):
            amount = result.amount
            if amount is None or amount.value is None:
                continue
            model, item = item_of(result.line_item or "")
            found.append(
                BillLine(
                    day,
                    names.name(model) if model else "",
                    item,
                    quantity_of(result.quantity, result.quantity_unit, item),
                    nano_of(amount.value, amount.currency),
                )
            )
        return found

    def hours(self, days: Iterable[datetime], names: BillNames) -> list[HourlyUse]:
        """What the provider reports of ``days`` by hour and model. Raises as ``lines``."""
        usage = self._client.admin.organization.usage
        reports: tuple[tuple[Callable[..., Any], Callable[[Any], dict[str, int]]], ...] = (
            (usage.completions, _tokens),
            (usage.embeddings, lambda result: {Meter.INPUT: result.input_tokens}),
            (usage.images, lambda result: {Meter.IMAGES: result.images}),
            (usage.audio_speeches, lambda result: {Meter.CHARACTERS: result.characters}),
            (usage.audio_transcriptions, lambda r: {Meter.AUDIO_SECONDS: r.seconds * 1000}),
        )
        found = []
        for since, until in _runs(days):
            for ask, counts in reports:
                results = self._results(ask, since, until, _HOURS, ["model"], bucket_width="1h")
                for hour, result in results:
                    found.append(
                        HourlyUse(
                            hour,
                            names.name(result.model or ""),
                            result.num_model_requests,
                            counts(result),
                        )
                    )
        return merged(found)

    def _results(
        self,
        ask: Callable[..., Any],
        since: datetime,
        until: datetime,
        limit: int,
        group_by: list[str],
        **more: Any,
    ) -> Iterator[tuple[datetime, Any]]:
        """Every result of a report with the start of its bucket, page after page."""
        query: dict[str, Any] = {
            "start_time": int(since.timestamp()),
            "end_time": int(until.timestamp()),
            "limit": limit,
            "group_by": group_by,
            **more,
        }
        for _ in range(_PAGES_MAX):
            try:
                page = ask(**query)
            except openai.OpenAIError as error:
                raise BillUnavailable(_why(error)) from error
            for bucket in page.data:
                start = datetime.fromtimestamp(bucket.start_time, tz=UTC)
                for result in bucket.results:
                    yield start, result
            if not page.has_more or not page.next_page:
                return
            query["page"] = page.next_page
        raise UnreadableBill("the provider's report has no end")


def _why(error: openai.OpenAIError) -> str:
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return (
            "the provider refuses FAREGATE_OPENAI_ADMIN_KEY: it must be an admin key"
            f" (sk-admin-...) that may read usage ({type(error).__name__})"
        )
    return f"the provider does not give its bill: {type(error).__name__}: {error}"


def _tokens(result: Any) -> dict[str, int]:
    """The line items of a report of completions; parts that it does not name are in the input."""
    cached = result.input_cached_tokens or 0
    written = result.input_cache_write_tokens or 0
    sound, pictures = result.input_audio_tokens or 0, result.input_image_tokens or 0
    sound_out, pictures_out = result.output_audio_tokens or 0, result.output_image_tokens or 0
    return {
        Meter.INPUT: result.input_tokens - cached - written - sound - pictures,
        Meter.CACHED_INPUT: cached,
        Meter.CACHE_WRITE: written,
        Meter.AUDIO_INPUT: sound,
        Meter.IMAGE_INPUT: pictures,
        Meter.OUTPUT: result.output_tokens - sound_out - pictures_out,
        Meter.AUDIO_OUTPUT: sound_out,
        Meter.IMAGE_OUTPUT: pictures_out,
    }


def merged(uses: Iterable[HourlyUse]) -> list[HourlyUse]:
    """One use for each hour and model."""
    found: dict[tuple[datetime, str], HourlyUse] = {}
    for use in uses:
        key = use.hour, use.model
        before = found.get(key, HourlyUse(*key, 0, {}))
        items = before.counts.keys() | use.counts.keys()
        counts = {item: before.counts.get(item, 0) + use.counts.get(item, 0) for item in items}
        found[key] = HourlyUse(*key, before.requests + use.requests, counts)
    return list(found.values())


def _runs(days: Iterable[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """The spans of days in a row."""
    ordered = sorted(days)
    start = 0
    for place, day in enumerate(ordered):
        after = day + timedelta(days=1)
        if place + 1 == len(ordered) or ordered[place + 1] != after:
            yield ordered[start], after
            start = place + 1
