from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO, Any

import pytest

from gateway.core import batch_lines
from gateway.core.batch_lines import (
    LINE_KINDS,
    BatchBound,
    LineRules,
    batch_rates,
    bound_lines,
    first_model,
    line_kind,
    numbered_lines,
)
from gateway.core.bounds import BoundRules
from gateway.core.catalog import ModelFacts
from gateway.core.errors import ApiError, BadRequest, ModelUnpriced
from gateway.core.objects import Kind
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Rate
from gateway.core.response_tokens import count_response_input
from gateway.core.tokens import count_chat_prompt

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
COMPLETIONS, RESPONSES = "/v1/completions", "/v1/responses"
MODERATIONS = "/v1/moderations"
STANDARD = {Meter.INPUT: Rate(2, per=1), Meter.OUTPUT: Rate(8, per=1)}
HALF = {Meter.INPUT: Rate(1, per=1), Meter.OUTPUT: Rate(4, per=1)}
FACTS = ModelFacts("m", context_window=10_000, output_tokens_max=500)
CLIENT = Client(1, "client", 1, "team", default_output_tokens=7, clamp_output=True)
RULES = BoundRules(256, "default", "max_completion_tokens")
LIMITS = (100_000, 20)


def price(**tiers: dict[Meter, Rate]) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "m", (), "test", start, tiers or {"default": STANDARD, "batch": HALF})


BY = LineRules("m", batch_rates(price())[1], FACTS, len, CLIENT, RULES, unknown_pass=True)


def body(**rest: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hello"}], **rest}


def line(number: int = 0, **rest: Any) -> dict[str, Any]:
    return {"custom_id": str(number), "method": "POST", "url": CHAT, "body": body(**rest)}


def content(*rows: object) -> IO[bytes]:
    return io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def bound(*rows: object, endpoint: str = CHAT, by: LineRules = BY) -> BatchBound:
    return bound_lines(content(*rows), endpoint, by, *LIMITS)


def refused(*rows: object, endpoint: str = CHAT, by: LineRules = BY) -> ApiError:
    with pytest.raises(ApiError) as found:
        bound(*rows, endpoint=endpoint, by=by)
    return found.value


PROMPT = count_chat_prompt(body(), FACTS, len).tokens


# What lines come to


def test_lines_are_summed_at_the_batch_rates() -> None:
    found = bound(line(0, max_completion_tokens=10), line(1, max_tokens=20, n=2))
    assert (found.lines, found.nano) == (2, 2 * PROMPT + 4 * (10 + 20 * 2))


def test_a_line_without_a_maximum_is_bounded_at_the_models() -> None:
    # Not at the client's default, its floor, or what fits beside the prompt: nothing of that
    # can be written into a line.
    assert bound(line()).nano == PROMPT + 4 * 500
    priced = replace(BY, price=replace(BY.price, output_tokens_max=300))
    assert bound(line(), by=priced).nano == PROMPT + 4 * 300
    window = replace(BY, facts=ModelFacts("m", context_window=10_000))
    assert bound(line(max_tokens=None), by=window).nano == PROMPT + 4 * 10_000


def test_a_model_that_could_answer_without_end_needs_a_maximum() -> None:
    unknown = replace(BY, facts=ModelFacts("m"))
    assert "max_completion_tokens must be set" in refused(line(), by=unknown).message


def test_a_price_without_batch_rates_is_taken_at_standard_ones() -> None:
    assert batch_rates(price())[0] == "batch"
    tier, rates = batch_rates(price(default=STANDARD))
    assert (tier, rates.tiers) == ("default", {"default": STANDARD})
    found = bound(line(max_tokens=10), by=replace(BY, price=rates))
    assert found.nano == 2 * PROMPT + 8 * 10


def test_embeddings_are_bounded_by_their_inputs() -> None:
    row = {**line(), "url": EMBEDDINGS, "body": {"model": "m", "input": ["four", "five5"]}}
    assert bound(row, endpoint=EMBEDDINGS).nano == 9


def other(endpoint: str, **fields: Any) -> dict[str, Any]:
    return {**line(), "url": endpoint, "body": {"model": "m", **fields}}


def test_completions_are_bounded_by_prompts_and_answers() -> None:
    row = other(COMPLETIONS, prompt=["four", "five5"], max_tokens=3, best_of=2)
    assert bound(row, endpoint=COMPLETIONS).nano == 9 + 4 * 3 * 2 * 2
    # Not at the 16 tokens that are documented: nothing of that is written into a line.
    assert bound(other(COMPLETIONS, prompt="four"), endpoint=COMPLETIONS).nano == 4 + 4 * 500


def test_responses_are_bounded_by_their_input_and_output() -> None:
    prompt = count_response_input({"model": "m", "input": "hello"}, FACTS, len).tokens
    row = other(RESPONSES, input="hello", max_output_tokens=6)
    assert bound(row, endpoint=RESPONSES).nano == prompt + 4 * 6
    assert bound(other(RESPONSES, input="hello"), endpoint=RESPONSES).nano == prompt + 4 * 500


def test_the_objects_that_responses_name_are_found() -> None:
    items = [
        {"type": "item_reference", "id": "msg_1"},
        {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
    ]
    row = other(RESPONSES, input=items, max_output_tokens=6)
    assert bound(row, endpoint=RESPONSES).named == {
        (Kind.RESPONSE_ITEM, "msg_1"): "line 1: body.input[0].id",
        (Kind.FILE, "file-1"): "line 1: body.input[1].content[0].file_id",
    }


def test_moderations_are_free_and_nothing_else_is_called_one() -> None:
    row = other(MODERATIONS, input="hello")
    free = {"default": {Meter.INPUT: Rate(0)}}
    assert bound(row, endpoint=MODERATIONS, by=replace(BY, price=price(**free))).nano == 0
    assert "is billed" in refused(row, endpoint=MODERATIONS).message


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tools": [{"type": "web_search"}]}, "cannot bound searches in a batch"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type must be one of"),
        ({"previous_response_id": "resp_1"}, "previous_response_id cannot be used"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt cannot be used"),
        ({"background": True}, "background cannot be used"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
    ],
)
def test_responses_that_cannot_be_bounded_are_refused(fields: dict[str, Any], told: str) -> None:
    tiers = {"default": {**STANDARD, Meter.WEB_SEARCH_CALLS: Rate(1, per=1)}}
    row = other(RESPONSES, input="hello", max_output_tokens=6, **fields)
    error = refused(row, endpoint=RESPONSES, by=replace(BY, price=price(**tiers)))
    assert error.message.startswith("Line 1 of the input file: ")
    assert told in error.message


def test_what_cannot_be_counted_is_bounded_by_the_window() -> None:
    part = {"type": "file", "file": {"file_id": "file-1"}}
    row = line(messages=[{"role": "user", "content": [part]}], max_tokens=1)
    found = bound(line(7), row)
    assert found.nano == PROMPT + 4 * 500 + 10_000 + 4
    assert found.named == {
        (Kind.FILE, "file-1"): "line 2: body.messages[0].content[0].file.file_id"
    }
    said = [{"role": "assistant", "audio": {"id": "audio_1"}}]
    assert bound(line(7, messages=said, max_tokens=1)).named == {
        (Kind.SPOKEN_ANSWER, "audio_1"): "line 1: body.messages[0].audio.id"
    }


def test_blank_lines_are_counted_and_passed_over() -> None:
    raw = b"\n" + json.dumps(line()).encode() + b"\r\n  \n"
    assert bound_lines(io.BytesIO(raw), CHAT, BY, *LIMITS).lines == 1
    assert [number for number, _ in numbered_lines(io.BytesIO(raw), 1000, "p", "file")] == [2]


def test_too_much_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dear = {Meter.INPUT: Rate(1, per=1), Meter.OUTPUT: Rate(10**15, per=1)}
    by = replace(BY, price=price(default=dear))
    assert "$9.0 million" in refused(line(0, max_tokens=5), line(1, max_tokens=5), by=by).message
    monkeypatch.setattr(batch_lines, "LINES_MAX", 2)
    assert "more than 2 lines" in refused(line(0), line(1), line(2)).message


# What is refused


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**line(1), "custom_id": ""}, "custom_id must be a string"),
        ({**line(1), "custom_id": 5}, "custom_id must be a string"),
        (line(0), "custom_id '0' is that of an earlier line"),
        ({**line(1), "method": "PUT"}, "method must be POST"),
        ({**line(1), "url": EMBEDDINGS}, f"url must be {CHAT}"),
        ({**line(1), "body": None}, "body must be an object"),
        (line(1, model="m2"), "its model is 'm2', and that of the first line is 'm'"),
        (line(1, stream=True), "stream cannot be used"),
        (line(1, background=True), "background cannot be used"),
        (line(1, store=True), "store cannot be used"),
        (line(1, previous_response_id="r"), "previous_response_id cannot be used"),
        (line(1, conversation={"id": "c"}), "conversation cannot be used"),
        (line(1, prompt={"id": "p"}), "prompt cannot be used"),
        (line(1, web_search_options={"x": 1}), "web_search_options cannot be used"),
        (line(1, service_tier="flex"), "service_tier cannot be used"),
        (line(1, best_of=3), "cannot bound the cost of best_of"),
        (line(1, n=0), "n must be an integer"),
        (line(1, messages="x"), "messages must be a non-empty list"),
        ([], "It must be a JSON object"),
    ],
)
def test_what_cannot_be_bounded_is_refused_with_its_line(row: object, told: str) -> None:
    error = refused(line(0), row)
    assert error.message.startswith("Line 2 of the input file: ")
    assert told in error.message
    assert (error.status, error.param) == (400, "input_file_id")


@pytest.mark.parametrize("fields", [{"stream": False}, {"store": False}, {"service_tier": "auto"}])
def test_what_changes_nothing_is_taken(fields: dict[str, Any]) -> None:
    assert bound(line(**fields)).lines == 1


def test_a_maximum_that_the_provider_may_not_obey_is_refused() -> None:
    by = replace(BY, rules=BoundRules(256, "default", "max_tokens"))
    error = refused(line(max_completion_tokens=1), by=by)
    assert "FAREGATE_OUTPUT_LIMIT_FIELD" in error.message
    obeyed = bound(line(max_tokens=1), by=by)
    assert obeyed.nano == bound(line(max_tokens=1)).nano < bound(line(), by=by).nano


def test_unknown_fields_pass_only_where_the_deployment_lets_them() -> None:
    assert bound(line(brand_new="x")).lines == 1
    error = refused(line(brand_new="x"), by=replace(BY, unknown_pass=False))
    assert error.message.startswith("Line 1 of the input file: ")
    assert "'brand_new'" in error.message


def test_a_model_that_searches_by_itself_is_refused() -> None:
    tiers = {"default": {**STANDARD, Meter.WEB_SEARCH_CALLS: Rate(1, per=1)}}
    by = replace(BY, model="m-search-api", price=price(**tiers))
    assert "cannot bound searches" in refused(line(model="m-search-api"), by=by).message


def test_a_model_without_a_rate_is_unpriced_by_its_line() -> None:
    by = replace(BY, price=price(default={Meter.INPUT: Rate(1, per=1)}))
    error = refused(line(), by=by)
    assert isinstance(error, ModelUnpriced)
    assert error.message.startswith("Line 1 ")


def test_a_line_beyond_the_limits_is_refused() -> None:
    with pytest.raises(BadRequest, match="Line 1 of the input file is longer than 50 bytes"):
        bound_lines(content(line()), CHAT, BY, 50, 20)
    with pytest.raises(BadRequest, match="nested deeper than 3 levels"):
        bound_lines(content(line()), CHAT, BY, 1000, 3)


def test_a_line_that_some_readers_take_for_several_is_refused() -> None:
    inner = json.dumps(line(9, max_tokens=400)).encode()
    one = json.dumps(line(metadata={"x": "?"})).encode().replace(b'"?"', b"\r" + inner + b"\r")
    with pytest.raises(BadRequest, match="Line 1 of the input file has a carriage return inside"):
        bound_lines(io.BytesIO(one), CHAT, BY, *LIMITS)
    ended = json.dumps(line()).encode() + b"\r\n\r\n"
    assert bound_lines(io.BytesIO(ended), CHAT, BY, *LIMITS).lines == 1


@pytest.mark.parametrize("endpoint", ["/v1/videos", None, 5, "chat/completions"])
def test_only_endpoints_with_a_bound_may_be_called(endpoint: object) -> None:
    with pytest.raises(BadRequest) as found:
        line_kind(endpoint)
    assert found.value.param == "endpoint"
    assert all(name in found.value.message for name in LINE_KINDS)


# The first line


def test_the_first_line_names_the_model() -> None:
    assert first_model(content(line(), {}), *LIMITS) == (1, "m")
    assert first_model(content({"body": {}}), *LIMITS) == (1, None)


@pytest.mark.parametrize(
    ("raw", "told"),
    [(b"", "no lines"), (b"\n{]\n", "Line 2 of .*parse"), (b"{}", "Line 1 of .*body")],
)
def test_a_first_line_that_names_none_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        first_model(io.BytesIO(raw), *LIMITS)


@pytest.mark.parametrize("odd", [b"\x0b", b"\x0c", b"\xc2\x85", b"\xc2\xa0", b"\x1c"])
def test_only_white_space_of_json_stands_around_a_line(odd: bytes) -> None:
    one = json.dumps(line(0, max_tokens=5)).encode()
    assert bound_lines(io.BytesIO(b" \t" + one + b"\r\n\n"), CHAT, BY, *LIMITS).lines == 1
    for content in (one + odd, odd + one, one + b"\n" + odd):
        with pytest.raises(BadRequest):
            bound_lines(io.BytesIO(content), CHAT, BY, *LIMITS)
