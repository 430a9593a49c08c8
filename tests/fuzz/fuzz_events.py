"""Fuzzes ``gateway.core.events``: an entry of the event stream is a row that SQL takes, or refused.

An event that is believed and that SQL then refuses would stop the recorder, and with it everybody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, String

from gateway.adapters.tables import Utc, usage_records
from gateway.core import events
from gateway.core.events import InvalidEvent, UsageEvent
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent
from tests.fuzz.random_json import changed, dumped

AT = 1_780_000_000_123
CONTEXT = {
    "team_id": 1,
    "client_id": 2,
    "key_id": 3,
    "endpoint": "chat/completions",
    "model": "gpt-4o",
    "price_id": 4,
    "tier": "default",
    "streamed": True,
}
RESULT = {
    "status": 200,
    "certainty": "exact",
    "tier": "flex",
    "lines": [["input", 3, 5, 1_000_000]],
    "usage": {"input_tokens": 3, "output_tokens": 4},
    "upstream_id": "req_1",
    "duration_ms": 12,
    "reason": "why",
}
NAMES = (*CONTEXT, *RESULT, *events.USAGE_COLUMNS)
FIELDS = {
    "id": "frq_1",
    "kind": "request",
    "outcome": "settled",
    "cost": "1250",
    "hold": "9000",
    "held_at": str(AT),
    "at": str(AT + 5),
    "budgets": "5:0:9000:10000:strict,6:1779926400000:9000:10000:soft",
    "epoch": str(AT - 9),
    "sequence": "17",
}
NUMBERS = (
    *(
        "0",
        "-1",
        "-1250",
        "",
        " 5 ",
        "5_0",
        "٣",
        "1e3",
        "1.0",
        "nan",
        "9" * 19,
        "9" * 20,
        "9" * 5_000,
    ),
    *("9223372036854775807", "-9223372036854775808", "253402300800000", "-62135596800001", "+7"),
)
KINDS = ("request", "correction", "other", "", "REQUEST")
BUDGETS = (
    "",
    ",",
    "5",
    "5:",
    "5:x",
    ":",
    "5:0",
    "5:99999999999999999",
    "-5:-1:0",
    "5:0:1:1:strict,,",
)
TOKENS = (
    *(
        b"\0",
        b"\xff",
        b",",
        b":",
        b"-",
        b"0",
        b"{",
        b"}",
        b'"',
        b"null",
        b"true",
        b"9" * 30,
        b"[" * 999,
    ),
    *(b"\\u0000", b"\\ud800", b"NaN", b"Infinity", b"1e400", b"strict", b"correction"),
)


def make(rng: Random) -> bytes:
    """Names and values of an entry, one after the other with a byte between them."""
    found: dict[str, bytes] = {name: value.encode() for name, value in FIELDS.items()}
    fate = rng.random()
    context, result = CONTEXT, RESULT
    if fate < 0.35:
        result = changed(rng, RESULT, NAMES)
    elif fate < 0.6:
        context = changed(rng, CONTEXT, NAMES)
    found["context"], found["result"] = dumped(context), dumped(result)
    if rng.random() < 0.3:
        name = rng.choice(("cost", "hold", "held_at", "at", "epoch", "sequence", "budgets", "kind"))
        values = {"budgets": BUDGETS, "kind": KINDS}.get(name, NUMBERS)
        found[name] = rng.choice(values).encode()
    if rng.random() < 0.1:
        del found[rng.choice(list(found))]
    data = b"\x1e".join(part for name, value in found.items() for part in (name.encode(), value))
    return bent(rng, data, TOKENS) if rng.random() < 0.3 else data


def check(data: bytes) -> bool:
    """A row that every database takes, and that says what the entry said; or refused."""
    parts = data.split(b"\x1e")
    fields = dict(zip(parts[::2], parts[1::2], strict=False))
    try:
        found = events.parse_event(fields)
    except InvalidEvent as error:
        assert str(error).isprintable() or str(error)
        return False
    row = found.row
    for column in usage_records.columns:
        value = row[column.name]
        assert column.nullable or value is not None, f"{column.name} is missing"
        if value is not None:
            _check_column(column.name, column.type, value)
    assert set(row) <= {column.name for column in usage_records.columns}
    _check_said(found, fields)
    return True


def _check_column(name: str, kind: object, value: Any) -> None:
    """Whether a value is one that the column takes in SQLite and in PostgreSQL."""
    if isinstance(kind, Boolean):
        assert type(value) is bool, name
    elif isinstance(kind, BigInteger):
        assert type(value) is int, name
        assert -(2**63) <= value < 2**63, name
    elif isinstance(kind, Integer):
        assert type(value) is int, name
        assert -(2**31) <= value < 2**31, f"{name} is beyond 32 bits"
    elif isinstance(kind, Utc):
        assert isinstance(value, datetime), name
        assert value.tzinfo is not None, name
    else:
        assert isinstance(kind, String), name
        assert type(value) is str, name
        assert "\0" not in value, name
        assert kind.length is None or len(value) <= kind.length, f"{name} is too long"
        value.encode()


def _check_said(found: UsageEvent, fields: Mapping[bytes, bytes]) -> None:
    """What is charged, to whom and when is what the entry says."""
    row = found.row
    assert row["cost_nano"] == int(fields[b"cost"].decode())
    assert row["hold_nano"] == int(fields[b"hold"].decode()) >= 0
    context, result = json.loads(fields[b"context"]), json.loads(fields[b"result"])
    for name in ("team_id", "client_id", "key_id", "streamed"):
        assert row[name] == context[name], name
    assert row["status"] == result["status"]
    assert row["held_at"] == datetime.fromtimestamp(int(fields[b"held_at"].decode()) / 1000, tz=UTC)
    for name in events.USAGE_COLUMNS:
        assert row[name] == result.get("usage", {}).get(name, 0) >= 0
    windows = [part for part in row["budget_windows"].split(",") if part]
    assert len(windows) == len(found.windows)
    for window, (budget_id, start) in zip(windows, found.windows, strict=True):
        assert int(window.split(":")[0]) == budget_id
        assert start.tzinfo is not None
    assert found.epoch >= 0 <= found.sequence < 2**63
    assert found.epoch < 2**63


EVENTS = Fuzzer("events", make, check, quick_inputs=12_000)
