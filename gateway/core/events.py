"""Usage events: what the Redis scripts emit and the recorder writes down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.core.usage import Certainty

USAGE_COLUMNS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "trained_tokens",
    "web_search_calls",
)
"""The counts of a usage record, by the names of ``gateway.core.usage.Usage``. Other fees are in
its cost lines alone."""


class InvalidEvent(ValueError):
    """An event is not one that the scripts can have written."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One end of one request: a row to be, and the budget windows it is charged to."""

    row: dict[str, Any]
    windows: tuple[tuple[int, datetime], ...] = field(default=())
    epoch: int = 0
    """The epoch of the counters that it was emitted in; 0 where there was none."""
    sequence: int = 0
    """The change of the counters that it was emitted by: see ``lua/_hold.lua``."""

    @property
    def identity(self) -> tuple[str, str]:
        """What makes a record unique."""
        return self.row["request_id"], self.row["kind"]


_INTEGER_MAX = 2**63 - 1
_STATUS_MAX = 999
_YEAR_MIN, _YEAR_MAX = 2000, 2200


def _moment(milliseconds: str | int) -> datetime:
    moment = datetime.fromtimestamp(int(milliseconds) / 1000, tz=UTC)
    if not _YEAR_MIN <= moment.year <= _YEAR_MAX:
        raise ValueError(f"{milliseconds} ms is not a time of this deployment")
    return moment


def _window(part: str) -> tuple[int, datetime]:
    budget_id, start, *_ = part.split(":")
    return _integer(int(budget_id)), datetime.fromtimestamp(int(start) / 1000, tz=UTC)


def _integer(value: object, least: int = -_INTEGER_MAX, most: int = _INTEGER_MAX) -> int:
    """A number that a BIGINT column takes, and no other type that equals one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not an integer")
    if not least <= value <= most:
        raise ValueError(f"{value} is out of range")
    return value


def _count(value: object) -> int:
    return _integer(value, least=0)


def _optional(value: object) -> int | None:
    return None if value is None else _integer(value)


def _text(value: object, characters: int) -> str:
    """Text as every database takes it: cut to the column, without NUL and half characters.

    Some of it was chosen by a client or the provider, and must not stop the recorder.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    valid = value.encode("utf-8", "replace").decode().replace("\0", "?")
    return valid[:characters]


def _plain(text: str) -> str:
    """Text that is kept as it is, and must not be cut or mended."""
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} has characters that the scripts do not write")
    return text


def parse_event(fields: Mapping[bytes, bytes]) -> UsageEvent:
    """The usage event in the fields of a stream entry. Raises InvalidEvent."""
    try:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        context = json.loads(text["context"])
        result = json.loads(text["result"])
        windows = tuple(_window(part) for part in text["budgets"].split(",") if part)
        row = {**_identity(text), **_who(context), **_end(text, context, result)}
        row["budget_windows"] = _plain(text["budgets"])
        usage = result.get("usage", {})
        row.update({name: _count(usage.get(name, 0)) for name in USAGE_COLUMNS})
        epoch, sequence = _count(int(text.get("epoch", 0))), _count(int(text.get("sequence", 0)))
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise InvalidEvent(f"{type(error).__name__}: {error}") from error
    except RecursionError as error:
        raise InvalidEvent("nested too deeply") from error
    return UsageEvent(row, windows, epoch, sequence)


def _identity(text: Mapping[str, str]) -> dict[str, Any]:
    request_id, kind = _plain(text["id"]), text["kind"]
    if not 1 <= len(request_id) <= 64 or kind not in ("request", "correction"):
        raise ValueError(f"no request is named {request_id[:80]!r} {kind[:20]!r}")
    return {
        "request_id": request_id,
        "kind": kind,
        "held_at": _moment(text["held_at"]),
        "recorded_at": _moment(text["at"]),
    }


def _who(context: Mapping[str, Any]) -> dict[str, Any]:
    streamed = context["streamed"]
    if not isinstance(streamed, bool):
        raise TypeError(f"{streamed!r} is not true or false")
    return {
        "team_id": _integer(context["team_id"]),
        "client_id": _integer(context["client_id"]),
        "key_id": _integer(context["key_id"]),
        "endpoint": _text(context["endpoint"], 64),
        "model": _text(context["model"], 128),
        "streamed": streamed,
        "price_id": _optional(context["price_id"]),
        "tags": _tags(context.get("tags", {})),
    }


def _tags(value: Mapping[str, Any]) -> str:
    """The tags of a request as JSON, in one order: names and values are text."""
    found = {_text(name, 64): _text(item, 128) for name, item in sorted(value.items())}
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _end(
    text: Mapping[str, str], context: Mapping[str, Any], result: Mapping[str, Any]
) -> dict[str, Any]:
    upstream_id, reason = result.get("upstream_id"), result.get("reason")
    return {
        "service_tier": _text(result.get("tier") or context["tier"], 32),
        "status": _integer(result["status"], 0, _STATUS_MAX),
        "outcome": _text(text["outcome"], 16),
        "certainty": Certainty(result.get("certainty", "exact")).value,
        "cost_nano": _integer(int(text["cost"])),
        "hold_nano": _count(int(text["hold"])),
        "cost_lines": json.dumps(result.get("lines", []), separators=(",", ":")),
        "upstream_id": None if upstream_id is None else _text(upstream_id, 256),
        "duration_ms": _optional(result.get("duration_ms")),
        "reason": None if reason is None else _text(reason, 32),
        "cache_saved_nano": _count(result.get("saved", 0)),
    }
