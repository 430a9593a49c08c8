from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.simulator import checks
from gateway.simulator.errors import ProviderError
from gateway.simulator.multipart import Form


def test_a_form_is_read_as_the_body_it_stands_for() -> None:
    form = Form(
        {
            "n": ["2"],
            "temperature": ["0.5"],
            "stream": ["True"],
            "include[]": ["logprobs"],
            "prompt": ["7"],
            "user": [""],
        }
    )
    assert checks.values_of_form(
        form, whole=("n",), decimal=("temperature",), flags=("stream",)
    ) == {"n": 2, "temperature": 0.5, "stream": True, "include": ["logprobs"], "prompt": "7"}


def test_what_is_no_number_stays_text_for_the_check_to_name() -> None:
    form = Form({"n": ["two"], "temperature": ["1e9999"], "stream": ["maybe"]})
    body = checks.values_of_form(form, whole=("n",), decimal=("temperature",), flags=("stream",))
    assert body == {"n": "two", "temperature": "1e9999", "stream": "maybe"}


@pytest.mark.parametrize(
    ("check", "value", "code"),
    [
        (lambda body: checks.choice(body, "x", ("a", "b"), "a"), "c", "invalid_value"),
        (lambda body: checks.choice(body, "x", ("a", "b"), "a"), 1, "invalid_type"),
        (lambda body: checks.whole(body, "x", 1, 2, 1), "1", "invalid_type"),
        (lambda body: checks.whole(body, "x", 1, 2, 1), 3, "integer_above_max_value"),
        (lambda body: checks.decimal(body, "x", 1, 2, 1), 0.5, "decimal_below_min_value"),
        (lambda body: checks.flag(body, "x"), "yes", "invalid_type"),
        (lambda body: checks.text(body, "x", 3), "long", "string_above_max_length"),
        (lambda body: checks.text(body, "x", 3), "", "empty_string"),
        (lambda body: checks.text(body, "x", 3), 1, "invalid_type"),
        (lambda body: checks.text(body, "x", 3), None, "missing_required_parameter"),
        (lambda body: checks.optional_text(body, "x"), ["a"], "invalid_type"),
    ],
)
def test_refusals_name_the_field(check: Callable[[Any], object], value: object, code: str) -> None:
    with pytest.raises(ProviderError) as refused:
        check({"x": value})
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, "x", code)


def test_unknown_fields_are_refused_where_strict() -> None:
    with pytest.raises(ProviderError, match="Unrecognized request argument supplied: x"):
        checks.refuse_unknown({"x": 1, "y": 2}, ("y",), True)
    checks.refuse_unknown({"x": 1}, ("y",), False)


def test_what_is_not_sent_has_its_default() -> None:
    assert checks.choice({}, "x", ("a",), "a") == "a"
    assert checks.whole({"x": None}, "x", 1, 2, 2) == 2
    assert checks.decimal({"x": 1}, "x", 0, 2, 2) == 1
    assert not checks.flag({}, "x")
    assert checks.optional_text({"x": None}, "x") == ""
