from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.chat import Chat
from gateway.simulator.faults import Directives, Fault
from gateway.simulator.models import find_model
from gateway.simulator.prompt_cache import PromptCache
from gateway.simulator.responses_draft import draft_of
from gateway.simulator.responses_events import count_of, events_of
from gateway.simulator.responses_input import items_of
from gateway.simulator.responses_shape import Draft, output_of, usage_of
from gateway.simulator.server import Request
from gateway.simulator.text import Writer
from tests.simulator.test_responses import SEARCH, WEATHER


def _draft(tokenizer: Tokenizer, wish: Directives, **rest: Any) -> Draft:
    body: dict[str, Any] = {"model": "gpt-5", "input": "search the web"} | rest
    request = Request("POST", "/v1/responses", "", {}, b"", True, True, id="req_7")
    request._json, request.directives = body, wish
    model = find_model(body["model"])
    chat = Chat(tokenizer, Writer(tokenizer), PromptCache())
    return draft_of(chat, request, model, items_of(body["input"], model, request.id))


CASES: list[tuple[Directives, dict[str, Any]]] = [
    (Directives(), {}),
    (Directives(), {"tools": [SEARCH]}),
    (Directives(), {"tools": [WEATHER], "tool_choice": "required"}),
    (Directives(reasoning_tokens=0), {"model": "gpt-4o"}),
    (Directives(reasoning_tokens=500), {"max_output_tokens": 400}),
    (Directives(fault=Fault.FAILED), {"tools": [SEARCH]}),
    (Directives(fault=Fault.FAILED, output_tokens=1), {"model": "gpt-4o"}),
    (Directives(fault=Fault.FAILED), {"tools": [WEATHER], "tool_choice": "required"}),
]


@pytest.mark.parametrize(("wish", "rest"), CASES)
@pytest.mark.parametrize("queued", [False, True])
def test_events_are_as_many_as_announced_and_tokens_add_up(
    tokenizer: Tokenizer, wish: Directives, rest: dict[str, Any], queued: bool
) -> None:
    draft = _draft(tokenizer, wish, **rest)
    events = list(events_of(draft, queued=queued))
    assert len(events) == count_of(draft, queued=queued)
    assert events[-1][1] == draft.charge.completion_tokens
    added = sum(b'"type":"response.output_item.added"' in event for event, _ in events)
    assert added == len(output_of(draft))


def test_a_failed_response_is_charged_for_its_half(tokenizer: Tokenizer) -> None:
    whole = _draft(tokenizer, Directives(output_tokens=60))
    half = _draft(tokenizer, Directives(output_tokens=60, fault=Fault.FAILED))
    assert half.status == "failed"
    assert 20 <= half.choice.visible_tokens <= 30
    assert half.charge.prompt_tokens == whole.charge.prompt_tokens
    usage = usage_of(half.charge, half.model)
    assert usage["output_tokens"] == half.choice.reasoning_tokens + half.choice.visible_tokens


def test_no_search_without_the_tool_or_with_none(tokenizer: Tokenizer) -> None:
    assert _draft(tokenizer, Directives()).searches == []
    wish = Directives(tool_calls=4)
    assert _draft(tokenizer, wish, tools=[SEARCH], tool_choice="none").searches == []
    assert len(_draft(tokenizer, wish, tools=[SEARCH]).searches) == 4
    forced = {"tools": [SEARCH, WEATHER], "tool_choice": {"type": "web_search"}}
    draft = _draft(tokenizer, wish, input="Hello, call the tool", **forced)
    assert len(draft.searches) == 4
    assert draft.choice.call is None
