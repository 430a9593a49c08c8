from __future__ import annotations

from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.responses_draft import SEARCH_TOKENS
from tests.simulator.conftest import PIXEL, Simulated

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string", "description": "A town."}},
        "required": ["place"],
    },
    "strict": True,
}
SEARCH: Any = {"type": "web_search"}
MODEL = "gpt-4o-mini"


def _ask(client: OpenAI, given: Any = "What do budgets limit?", **rest: Any) -> Response:
    answer: Response = client.responses.create(**({"model": MODEL, "input": given} | rest))
    return answer


def test_a_response_is_charged_as_it_reports(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    answer = _ask(client, metadata={"team": "a"}, user="u1", prompt_cache_key="k")
    assert (answer.object, answer.status, answer.model) == (
        "response",
        "completed",
        "gpt-4o-mini-2024-07-18",
    )
    (message,) = answer.output
    assert message.type == "message"
    assert message.id.startswith("msg_")
    usage = answer.usage
    assert usage is not None
    assert usage.output_tokens == tokenizer.count(answer.output_text, "o200k_base")
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.output_tokens_details.reasoning_tokens == 0
    charge = simulated.charge(answer._request_id)
    assert (charge.endpoint, charge.model, charge.requested_model) == (
        "responses",
        answer.model,
        MODEL,
    )
    assert (charge.prompt_tokens, charge.completion_tokens) == (
        usage.input_tokens,
        usage.output_tokens,
    )
    assert (answer.metadata, answer.user, answer.prompt_cache_key) == ({"team": "a"}, "u1", "k")
    assert answer.service_tier == "default"
    assert answer.completed_at
    assert answer.error is None


def test_the_prompt_counts_as_the_same_chat_does(client: OpenAI) -> None:
    chat = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What do budgets limit?"},
        ],
    )
    answer = _ask(client, instructions="Be brief.")
    assert answer.usage is not None
    assert chat.usage is not None
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.output_text == chat.choices[0].message.content


def test_a_maximum_leaves_a_response_incomplete(simulated: Simulated, client: OpenAI) -> None:
    answer = _ask(client, max_output_tokens=16)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 16
    message = answer.output[0]
    assert message.type == "message"
    assert message.status == "incomplete"
    assert simulated.charge(answer._request_id).finished


def test_a_reasoning_model_reasons_first(simulated: Simulated, client: OpenAI) -> None:
    wish = {"x-sim-reasoning-tokens": "128", "x-sim-output-tokens": "50"}
    answer = _ask(
        client,
        model="gpt-5-mini",
        reasoning={"effort": "high"},
        include=["reasoning.encrypted_content"],
        extra_headers=wish,
    )
    reasoning, message = answer.output
    assert reasoning.type == "reasoning"
    assert reasoning.encrypted_content
    assert message.type == "message"
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens == 128
    assert answer.usage.output_tokens == 178
    assert simulated.charge(answer._request_id).reasoning_tokens == 128
    assert answer.reasoning is not None
    assert answer.reasoning.effort == "high"
    short = _ask(client, model="gpt-5-mini", max_output_tokens=64, extra_headers=wish)
    assert short.status == "incomplete"
    assert [item.type for item in short.output] == ["reasoning"]


def test_a_function_is_called_and_its_output_taken(client: OpenAI, tokenizer: Tokenizer) -> None:
    question: Any = {"role": "user", "content": "Please call the tool."}
    called = _ask(client, [question], tools=[WEATHER])
    (call,) = called.output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", '{"place":"sample"}')
    assert called.usage is not None
    assert called.usage.output_tokens == tokenizer.count(
        "get_weather", "o200k_base"
    ) + tokenizer.count(call.arguments, "o200k_base")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
    by_hand = _ask(client, [question, call.model_dump(exclude_none=True), output], tools=[WEATHER])
    assert by_hand.output[0].type == "message"
    by_id = _ask(client, [output], tools=[WEATHER], previous_response_id=called.id)
    assert by_id.usage is not None
    assert by_hand.usage is not None
    assert by_id.usage.input_tokens == by_hand.usage.input_tokens
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        _ask(client, "And now?", previous_response_id=called.id)
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        _ask(client, [output])


def test_a_named_function_is_called_and_others_are_not(client: OpenAI) -> None:
    other = WEATHER | {"name": "other"}
    named: Any = {"type": "function", "name": "other"}
    call = _ask(client, tools=[WEATHER, other], tool_choice=named).output[0]
    assert call.type == "function_call"
    assert call.name == "other"
    allowed: Any = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    call = _ask(client, tools=[WEATHER, other], tool_choice=allowed).output[0]
    assert call.type == "function_call"
    assert call.name == "other"
    none = _ask(client, "Call the tool", tools=[WEATHER], tool_choice="none")
    assert none.output[0].type == "message"


def test_searches_are_items_and_units(simulated: Simulated, client: OpenAI) -> None:
    text = "Please search the web for budgets."
    without = _ask(client, text)
    answer = _ask(
        client,
        text,
        tools=[SEARCH],
        include=["web_search_call.action.sources"],
        extra_headers={"x-sim-tool-calls": "3"},
    )
    assert [item.type for item in answer.output] == ["web_search_call"] * 3 + ["message"]
    search = answer.output[0]
    assert search.type == "web_search_call"
    assert search.action.type == "search"
    assert search.action.sources
    charge = simulated.charge(answer._request_id)
    assert charge.units == {"web_search_calls": 3}
    assert without.usage is not None
    assert charge.prompt_tokens == without.usage.input_tokens + 3 * SEARCH_TOKENS
    limited = _ask(
        client,
        text,
        tools=[SEARCH],
        max_tool_calls=2,
        extra_headers={"x-sim-tool-calls": "9"},
    )
    assert simulated.charge(limited._request_id).units == {"web_search_calls": 2}
    unasked = _ask(client, tools=[SEARCH])
    assert simulated.charge(unasked._request_id).units == {}
    forced = _ask(client, tools=[SEARCH], tool_choice="required")
    assert 1 <= simulated.charge(forced._request_id).units["web_search_calls"] <= 3


class _Budget(BaseModel):
    team: str
    limit: int


def test_structured_answers_fit_their_schema(client: OpenAI) -> None:
    parsed = client.responses.parse(model=MODEL, input="A budget.", text_format=_Budget)
    assert parsed.output_parsed == _Budget(team="sample", limit=1)
    form: Any = {"format": {"type": "json_object"}}
    assert _ask(client, "Say it in json.", text=form).output_text.startswith('{"answer":')
    with pytest.raises(openai.BadRequestError, match="'json'"):
        _ask(client, "Say it.", text=form)


def test_log_probabilities_are_shown_when_asked(client: OpenAI) -> None:
    answer = _ask(client, include=["message.output_text.logprobs"], top_logprobs=2)
    message = answer.output[0]
    assert message.type == "message"
    text = message.content[0]
    assert text.type == "output_text"
    assert text.logprobs
    assert "".join(entry.token for entry in text.logprobs) == answer.output_text
    assert {len(entry.top_logprobs) for entry in text.logprobs} == {2}


def test_earlier_turns_count_again(simulated: Simulated, client: OpenAI) -> None:
    first = _ask(client, instructions="Not carried over.")
    plain = _ask(client)
    second = _ask(client, "And why?", previous_response_id=first.id)
    alone = _ask(client, "And why?")
    assert first.usage is not None
    assert plain.usage is not None
    assert second.usage is not None
    assert alone.usage is not None
    priming, framing = 3, 4
    assert second.usage.input_tokens == (
        plain.usage.input_tokens
        + first.usage.output_tokens
        + framing
        + alone.usage.input_tokens
        - priming
    )
    assert second.previous_response_id == first.id
    third = _ask(client, "Go on.", previous_response_id=second.id)
    assert third.usage is not None
    assert third.usage.input_tokens > second.usage.total_tokens


def test_an_unknown_earlier_response_is_refused(simulated: Simulated, client: OpenAI) -> None:
    unstored = _ask(client, store=False)
    mark = uuid4().hex
    for identity in ("resp_nothing", unstored.id):
        with pytest.raises(openai.BadRequestError) as refused:
            _ask(
                client,
                previous_response_id=identity,
                extra_headers={"x-client-request-id": mark},
            )
        assert refused.value.code == "previous_response_not_found"
        assert refused.value.param == "previous_response_id"
    assert not simulated.charges_of_client(mark)


def test_repeated_prompts_are_cached_and_writes_reported(
    simulated: Simulated, client: OpenAI
) -> None:
    text = f"{uuid4().hex} budget " * 400
    first, second = (_ask(client, text, model="gpt-5.6-sol") for _ in range(2))
    assert first.usage is not None
    assert second.usage is not None
    written = first.usage.input_tokens_details.cache_write_tokens
    assert written > 1_000
    assert second.usage.input_tokens_details.cached_tokens == written
    assert second.usage.input_tokens_details.cache_write_tokens == 0
    assert simulated.charge(second._request_id).cached_tokens == written
    assert simulated.charge(first._request_id).cache_write_tokens == written


def test_files_and_images_count(simulated: Simulated, client: OpenAI) -> None:
    text: Any = {"type": "input_text", "text": "What is this?"}
    file: Any = {"type": "input_file", "file_id": "file-123"}
    image: Any = {"type": "input_image", "image_url": PIXEL, "detail": "low"}
    plain, with_file, with_image = (
        _ask(client, [{"role": "user", "content": [text, *more]}], model="gpt-4o")
        for more in ([], [file], [image])
    )
    assert plain.usage is not None
    assert with_file.usage is not None
    assert with_image.usage is not None
    assert 200 <= with_file.usage.input_tokens - plain.usage.input_tokens < 1_000
    assert with_image.usage.input_tokens - plain.usage.input_tokens == 85
    assert simulated.charge(with_image._request_id).image_tokens == 85


def test_a_full_context_is_refused_or_cut(client: OpenAI) -> None:
    items: Any = [{"role": "user", "content": "budget " * 2_000} for _ in range(6)]
    with pytest.raises(openai.BadRequestError) as refused:
        _ask(client, items, model="gpt-4")
    assert refused.value.code == "context_length_exceeded"
    cut = _ask(client, items, model="gpt-4", truncation="auto")
    assert cut.usage is not None
    assert cut.usage.input_tokens < 8_192


def test_the_tier_can_be_another_than_asked(simulated: Simulated, client: OpenAI) -> None:
    answer = _ask(client, service_tier="priority", extra_headers={"x-sim-service-tier": "default"})
    assert answer.service_tier == "default"
    assert _ask(client, service_tier="priority").service_tier == "priority"


def test_input_is_counted_free_and_as_it_will_be_charged(
    simulated: Simulated, client: OpenAI
) -> None:
    body: Any = {"model": MODEL, "input": "Count this.", "tools": [WEATHER]}
    mark = uuid4().hex
    counted = client.responses.input_tokens.count(
        **body, extra_headers={"x-client-request-id": mark}
    )
    assert counted.object == "response.input_tokens"
    answer = client.responses.create(**body)
    assert answer.usage is not None
    assert counted.input_tokens == answer.usage.input_tokens
    assert not simulated.charges_of_client(mark)
    assert client.responses.input_tokens.count(input="No model named.").input_tokens > 0


def test_a_conversation_is_compacted_and_goes_on(simulated: Simulated, client: OpenAI) -> None:
    first = _ask(client, extra_headers={"x-sim-output-tokens": "500"})
    short = client.responses.compact(
        model=MODEL, previous_response_id=first.id, extra_headers={"x-sim-output-tokens": "60"}
    )
    assert short.object == "response.compaction"
    assert [item.type for item in short.output] == ["message", "compaction"]
    assert short.usage.output_tokens == 60
    charge = simulated.charge(short._request_id)
    assert (charge.endpoint, charge.prompt_tokens, charge.completion_tokens) == (
        "responses/compact",
        short.usage.input_tokens,
        60,
    )
    items = [item.to_dict(warnings=False) for item in short.output]
    again = _ask(client, [*items, {"role": "user", "content": "Go on."}])
    assert again.usage is not None
    assert 60 < again.usage.input_tokens < 120
