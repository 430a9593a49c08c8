from __future__ import annotations

import pytest

from gateway.core.stored_filters import CompletionFilter, completion_filter


def test_arguments_become_a_filter() -> None:
    arguments = [
        ("limit", "3"),
        ("model", "gpt-4o"),
        ("metadata[team]", "search"),
        ("metadata[a.b c]", ""),
        ("metadata", "x"),
    ]
    assert completion_filter(arguments) == CompletionFilter(
        "gpt-4o", {"team": "search", "a.b c": ""}
    )
    assert completion_filter([]) == CompletionFilter(None, {})


@pytest.mark.parametrize(
    ("wanted", "model", "allowed"),
    [
        (None, "gpt-4o-2024-08-06", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", True),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125", True),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4o-mini", "gpt-4o-2024-08-06", False),
        ("", "gpt-4o", False),
    ],
)
def test_a_model_is_meant_by_any_of_its_names(
    wanted: str | None, model: str, allowed: bool
) -> None:
    assert CompletionFilter(wanted, {}).allows_model(model) is allowed


def test_every_pair_of_metadata_must_be_there() -> None:
    wanted = CompletionFilter(None, {"a": "1", "b": "2"})
    assert wanted.allows({"metadata": {"a": "1", "b": "2", "c": "3"}})
    for other in ({"metadata": {"a": "1"}}, {"metadata": {"a": "1", "b": 2}}, {"metadata": None}):
        assert not wanted.allows(other)
    assert CompletionFilter(None, {}).allows({})
