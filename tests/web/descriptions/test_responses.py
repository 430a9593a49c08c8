from __future__ import annotations

import pytest

from gateway.core.catalog import facts_for
from gateway.core.errors import ApiError
from gateway.core.response_fields import KNOWN, REFUSED, check_response_fields
from gateway.core.response_tokens import ITEM_TYPES, count_response_input
from gateway.settings import Settings
from gateway.web.descriptions.responses import OPERATIONS
from gateway.web.openai.checks import check_fields
from tests.web.descriptions.routes import allows, names_in, refused_in


def refuse(name: str) -> None:
    """The checks of fields that a response goes through."""
    check_fields({name: 1}, KNOWN | REFUSED, Settings())
    check_response_fields({name: 1})


MADE = OPERATIONS["responses.create_response"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_fields_are_those_of_the_endpoint(name: str) -> None:
    assert names_in(OPERATIONS[name]) == KNOWN - REFUSED


def test_what_is_said_to_be_refused_is_refused() -> None:
    refused = refused_in(MADE)
    assert refused.keys() >= REFUSED
    for name in refused:
        with pytest.raises(ApiError):
            refuse(name)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("input", [{"role": "user", "content": "a"}], [{"role": "user"}]),
        ("input", [{"type": "message", "role": "user", "content": []}], [{"type": "shell_call"}]),
        ("background", None, 1),
        ("max_tool_calls", 1_000, 1_001),
        ("max_output_tokens", 1, 0),
        ("tools", [{"type": "web_search"}], [{"type": "code_interpreter"}]),
        ("background_options", {"completion_window": "soonest"}, {"completion_window": "24h"}),
        ("instructions", None, 1),
    ],
)
def test_a_response_is_described_as_it_is_checked(field: str, good: object, bad: object) -> None:
    assert MADE.json is not None
    assert allows(MADE.json, {"model": "gpt-4o-mini", field: good})
    assert not allows(MADE.json, {"model": "gpt-4o-mini", field: bad})


def test_every_type_of_item_that_is_counted_is_described() -> None:
    assert MADE.json is not None
    fields = {"role": "user", "content": "", "output": "", "id": "a", "call_id": "", "name": "a"}
    for kind in ITEM_TYPES:
        item = {"type": kind, "arguments": "", **fields}
        assert allows(MADE.json, {"model": "a", "input": [item]}), kind
        count_response_input({"input": [item]}, facts_for("gpt-4o-mini"), len)


def test_a_compaction_is_whole() -> None:
    compacted = OPERATIONS["responses.compact_response"].json
    assert compacted is not None
    assert allows(compacted, {"model": "a", "stream": False, "background": None})
    assert not allows(compacted, {"model": "a", "stream": True})
    assert not allows(compacted, {"model": "a", "background": True})
