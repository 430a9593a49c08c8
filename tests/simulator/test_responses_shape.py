from __future__ import annotations

from typing import Any

from gateway.simulator.chat_reply import Choice
from gateway.simulator.models import find_model
from gateway.simulator.responses_shape import Draft, response_at, usage_of
from gateway.simulator.text import Piece
from gateway.simulator.truth import Charge

CHARGE = Charge(
    endpoint="responses",
    model="gpt-5.6-sol",
    prompt_tokens=2_000,
    cached_tokens=1_024,
    cache_write_tokens=128,
    completion_tokens=70,
    reasoning_tokens=64,
)


def _draft(status: str, **body: Any) -> Draft:
    model = find_model("gpt-5.6-sol")
    choice = Choice(0, [Piece("Hello", 6, b'"Hello"')], None, 64, "stop")
    return Draft("resp_1", 7, body, model, [], ["budgets"], choice, CHARGE, status, 1)


def test_output_and_usage_come_with_the_end() -> None:
    draft = _draft("completed", service_tier="flex")
    for status in ("queued", "in_progress"):
        early = response_at(draft, status)
        assert (early["output"], early["usage"], early["completed_at"]) == ([], None, None)
        assert early["service_tier"] == "flex"
    ended = response_at(draft, "completed")
    assert [item["type"] for item in ended["output"]] == ["reasoning", "web_search_call", "message"]
    assert ended["service_tier"] == "default"
    assert response_at(draft, "completed", usage=False)["usage"] is None


def test_details_of_usage() -> None:
    assert usage_of(CHARGE, find_model("gpt-5.6-sol")) == {
        "input_tokens": 2_000,
        "input_tokens_details": {"cached_tokens": 1_024, "cache_write_tokens": 128},
        "output_tokens": 70,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 2_070,
    }
    assert usage_of(CHARGE, find_model("gpt-4o"))["input_tokens_details"] == {
        "cached_tokens": 1_024
    }


def test_why_a_response_ended_is_said() -> None:
    incomplete = response_at(_draft("incomplete"), "incomplete")
    assert incomplete["incomplete_details"] == {"reason": "max_output_tokens"}
    assert incomplete["output"][-1]["status"] == "incomplete"
    failed = response_at(_draft("failed"), "failed")
    assert failed["error"]["code"] == "server_error"
    assert failed["completed_at"] is None


def test_what_was_asked_is_echoed() -> None:
    asked = {
        "temperature": 0,
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}},
        "metadata": {"a": "b"},
        "store": False,
        "max_tool_calls": 2,
    }
    shown = response_at(_draft("completed", **asked), "completed")
    assert (shown["temperature"], shown["store"], shown["max_tool_calls"]) == (0, False, 2)
    assert shown["metadata"] == {"a": "b"}
    assert shown["tools"][0]["strict"] is True
    assert shown["tools"][1]["search_context_size"] == "medium"
    assert shown["text"]["format"]["name"] == "s"
