from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events import USAGE_COLUMNS, InvalidEvent, parse_event
from gateway.core.outcomes import Outcome
from gateway.core.usage import Certainty, Usage

AT = 1_780_000_000_123
CONTEXT: dict[str, Any] = {
    "team_id": 1,
    "client_id": 2,
    "key_id": 3,
    "endpoint": "chat/completions",
    "model": "gpt-4o",
    "price_id": 4,
    "tier": "default",
    "streamed": True,
}


def fields(
    context: dict[str, Any] | None = None, result: dict[str, Any] | None = None, **changes: Any
) -> dict[bytes, bytes]:
    found: dict[str, Any] = {
        "id": "frq_1",
        "kind": "request",
        "outcome": "settled",
        "cost": 1_250,
        "hold": 9_000,
        "held_at": AT,
        "at": AT + 500,
        "budgets": "5:0:9000:10000:strict,6:1779926400000:9000:10000:soft",
        "context": json.dumps({**CONTEXT, **(context or {})}),
        "result": json.dumps({"status": 200, **(result or {})}),
        **changes,
    }
    return {name.encode(): str(value).encode() for name, value in found.items()}


def test_every_field_of_an_event_becomes_a_row() -> None:
    usage = Usage(input_tokens=10, cached_input_tokens=4, output_tokens=5, web_search_calls=1)
    outcome = Outcome(200, Certainty.ESTIMATED, 7, usage, "flex", (), "req_9", 42, "why")
    event = parse_event(fields(result=json.loads(outcome.as_json())))
    assert event.identity == ("frq_1", "request")
    assert event.windows == (
        (5, datetime(1970, 1, 1, tzinfo=UTC)),
        (6, datetime(2026, 5, 28, tzinfo=UTC)),
    )
    assert event.row == {
        "request_id": "frq_1",
        "kind": "request",
        "held_at": datetime(2026, 5, 28, 20, 26, 40, 123_000, tzinfo=UTC),
        "recorded_at": datetime(2026, 5, 28, 20, 26, 40, 623_000, tzinfo=UTC),
        "team_id": 1,
        "client_id": 2,
        "key_id": 3,
        "endpoint": "chat/completions",
        "model": "gpt-4o",
        "service_tier": "flex",
        "streamed": True,
        "status": 200,
        "outcome": "settled",
        "certainty": "estimated",
        "cost_nano": 1_250,
        "hold_nano": 9_000,
        "price_id": 4,
        "cost_lines": "[]",
        "budget_windows": "5:0:9000:10000:strict,6:1779926400000:9000:10000:soft",
        "upstream_id": "req_9",
        "duration_ms": 42,
        "reason": "why",
        "tags": "{}",
        "cache_saved_nano": 0,
        **dict.fromkeys(USAGE_COLUMNS, 0),
        "input_tokens": 10,
        "cached_input_tokens": 4,
        "output_tokens": 5,
        "web_search_calls": 1,
    }


def test_what_an_end_leaves_out() -> None:
    event = parse_event(fields({"price_id": None}, budgets=""))
    assert event.windows == ()
    row = event.row
    assert (row["service_tier"], row["certainty"], row["price_id"]) == ("default", "exact", None)
    assert (row["upstream_id"], row["duration_ms"], row["input_tokens"]) == (None, None, 0)


def test_a_correction_may_lower_the_cost() -> None:
    row = parse_event(fields(kind="correction", cost=-8_000)).row
    assert (row["kind"], row["cost_nano"]) == ("correction", -8_000)


@pytest.mark.parametrize("odd", ["x" * 1_000, "\0" * 5, "a\ud800b", "\U0001f600" * 300])
def test_text_that_others_chose_cannot_stop_a_database(odd: str) -> None:
    row = parse_event(fields({"model": odd}, {"tier": odd, "upstream_id": odd})).row
    for column, characters in (("model", 128), ("service_tier", 32), ("upstream_id", 256)):
        assert 1 <= len(row[column]) <= characters
        assert "\0" not in row[column]
        row[column].encode()


@pytest.mark.parametrize(
    "broken",
    [
        fields(id=""),
        fields(id="x" * 65),
        fields(kind="refund"),
        fields(cost="1.5"),
        fields(cost="nan"),
        fields(cost=2**63),
        fields(hold=-1),
        fields(held_at=0),
        fields(held_at=10**18),
        fields(at="soon"),
        fields(at=10**30),
        {**fields(), b"context": b"{"},
        {**fields(), b"context": b"[]"},
        {**fields(), b"result": b"null"},
        {**fields(), b"result": b"[" * 100_000},
        fields(budgets="5"),
        fields(budgets="a:b:c:d:e"),
        fields({"team_id": None}),
        fields({"team_id": True}),
        fields({"client_id": 2**70}),
        fields({"streamed": "no"}),
        fields({"price_id": "4"}),
        fields({"model": None}),
        fields(result={"status": "200"}),
        fields(result={"certainty": "sure"}),
        fields(result={"tier": 5}),
        fields(result={"duration_ms": 1.5}),
        fields(result={"usage": None}),
        fields(result={"usage": {"input_tokens": -1}}),
        fields(result={"usage": {"input_tokens": "7"}}),
        fields(result={"usage": {"output_tokens": 2**63}}),
        {},
        {b"id": b"\xff"},
    ],
)
def test_what_the_scripts_cannot_have_written_is_invalid(broken: dict[bytes, bytes]) -> None:
    with pytest.raises(InvalidEvent):
        parse_event(broken)


@pytest.mark.parametrize("name", sorted(fields()))
def test_a_missing_field_makes_an_event_invalid(name: bytes) -> None:
    broken = fields()
    del broken[name]
    with pytest.raises(InvalidEvent):
        parse_event(broken)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=3,
)


@given(st.sampled_from(sorted(CONTEXT)), JSON, st.sampled_from(["status", "usage", "tier"]), JSON)
def test_no_value_does_worse_than_make_an_event_invalid(
    name: str, value: Any, other: str, result: Any
) -> None:
    try:
        row = parse_event(fields({name: value}, {other: result})).row
    except InvalidEvent:
        return
    assert all(isinstance(row[n], int) for n in ("team_id", "client_id", "key_id", "status"))


@given(st.dictionaries(st.sampled_from(sorted(fields())), st.binary(max_size=20)))
def test_no_bytes_do_worse_than_make_an_event_invalid(changes: dict[bytes, bytes]) -> None:
    with contextlib.suppress(InvalidEvent):
        parse_event({**fields(), **changes})


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "frq_\0"},
        {"budgets": "5:0:9000:\x0010:strict"},
        {"result": {"status": 2**31}},
        {"result": {"status": -1}},
    ],
)
def test_what_a_database_would_refuse_is_no_event(odd: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        parse_event(fields(**odd))
