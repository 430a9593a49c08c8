from __future__ import annotations

from typing import Any

import pytest

from gateway.core.catalog import facts_for
from gateway.core.errors import BadRequest, NotFound
from gateway.core.response_fields import (
    KNOWN,
    REFUSED,
    check_response_fields,
    refuse_dearer_searches,
    searches_web,
)

FUNCTION = {"type": "function", "name": "f", "parameters": {}}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tools": []},
        {"tools": [FUNCTION, {"type": "custom", "name": "c"}, {"type": "web_search"}]},
        {"tools": [{"type": "web_search_preview_2025_03_11"}]},
        {"background": True, "store": None, "stream": False},
        {"background_options": {"completion_window": "soonest"}},
        {"background_options": {"continuation_id": "x"}},
        {"n": None, "conversation": None, "prompt": None, "context_management": None},
        {"something_new": {"a": 1}},
    ],
)
def test_what_can_be_bounded_passes(body: dict[str, Any]) -> None:
    check_response_fields(body)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [FUNCTION, {"type": "file_search"}]}, "tools[1].type"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ({"tools": [{"type": "computer_use_preview"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, "tools[0].type"),
        ({"tools": [{"type": "image_generation"}]}, "tools[0].type"),
        ({"tools": [{"type": "local_shell"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "tools[0].type"),
        ({"tools": [{"type": "of_tomorrow"}]}, "tools[0].type"),
        ({"tools": [{"type": ["web_search"]}]}, "tools[0].type"),
        ({"tools": ["web_search"]}, "tools[0].type"),
        ({"tools": {"type": "mcp"}}, "tools"),
        ({"n": 2}, "n"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"multi_agent": {"max_agents": 3}}, "multi_agent"),
        ({"background": "true"}, "background"),
        ({"store": 0}, "store"),
        ({"stream": 1}, "stream"),
        (
            {"background_options": {"completion_window": "8h"}},
            "background_options.completion_window",
        ),
        ({"background_options": "8h"}, "background_options.completion_window"),
    ],
)
def test_what_cannot_be_bounded_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_response_fields(body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "body",
    [{"prompt": {"id": "pmpt_1"}}, {"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}],
)
def test_what_nobody_owns_is_not_found(body: dict[str, Any]) -> None:
    with pytest.raises(NotFound) as refused:
        check_response_fields(body)
    assert refused.value.param in body


@pytest.mark.parametrize(
    ("body", "searches"),
    [
        ({}, False),
        ({"tools": [FUNCTION]}, False),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, True),
        ({"tools": [{"type": "web_search_2025_08_26"}]}, True),
        ({"model": "gpt-4o-search-preview"}, True),
        ({"model": "gpt-4o"}, False),
    ],
)
def test_who_may_search(body: dict[str, Any], searches: bool) -> None:
    assert searches_web(body) is searches


@pytest.mark.parametrize("tool", ["web_search_preview", "web_search_preview_2025_03_11"])
def test_a_search_with_a_fee_of_its_own_is_refused(tool: str) -> None:
    body = {"tools": [{"type": tool}]}
    refuse_dearer_searches(body, facts_for("o4-mini"))
    refuse_dearer_searches({"tools": [{"type": "web_search"}]}, facts_for("gpt-4o"))
    with pytest.raises(BadRequest, match="Use the tool web_search") as refused:
        refuse_dearer_searches(body, facts_for("gpt-4o-2024-08-06"))
    assert refused.value.param == "tools"


def test_the_known_fields_are_those_of_the_sdk() -> None:
    from openai.types.responses.input_token_count_params import InputTokenCountParams
    from openai.types.responses.response_create_params import ResponseCreateParamsBase

    documented = set(ResponseCreateParamsBase.__annotations__) | {"stream"}
    documented |= set(InputTokenCountParams.__annotations__)
    assert documented - REFUSED == KNOWN
