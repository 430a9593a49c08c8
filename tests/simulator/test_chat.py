from __future__ import annotations

import json
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from gateway.adapters.tokenizer import Tokenizer
from tests.simulator.conftest import Simulated, question

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town."},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["place", "unit"],
        },
    },
}


def _text(completion: ChatCompletion) -> str:
    return completion.choices[0].message.content or ""


@pytest.mark.parametrize(
    ("model", "encoding"), [("gpt-4o-mini", "o200k_base"), ("gpt-3.5-turbo", "cl100k_base")]
)
@pytest.mark.parametrize(
    "message",
    ["Hello", "예산이 얼마인가요?", "これは何ですか", "Что это?", "¿Qué es?", "Größe?", "Ça va?"],
)
@pytest.mark.parametrize("maximum", [None, 1, 17])
def test_completion_tokens_are_those_of_the_text(
    simulated: Simulated,
    client: OpenAI,
    tokenizer: Tokenizer,
    model: str,
    encoding: str,
    message: str,
    maximum: int | None,
) -> None:
    body = question(message, model=model)
    if maximum is not None:
        body["max_tokens"] = maximum
    answer: ChatCompletion = client.chat.completions.create(**body)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokenizer.count(_text(answer), encoding)
    if maximum is None:
        assert answer.choices[0].finish_reason == "stop"
        assert 40 <= answer.usage.completion_tokens <= 120
    else:
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == maximum
    charge = simulated.charge(answer._request_id)
    assert charge.completion_tokens == answer.usage.completion_tokens
    assert charge.prompt_tokens == answer.usage.prompt_tokens
    assert (charge.model, charge.requested_model) == (answer.model, model)


def test_a_korean_question_is_answered_in_korean(client: OpenAI) -> None:
    text = _text(client.chat.completions.create(**question("요금을 알려 주세요")))
    letters = [letter for letter in text if letter.isalpha()]
    assert all("가" <= letter <= "힣" for letter in letters)


def test_the_same_request_has_the_same_answer_streamed_or_not(client: OpenAI) -> None:
    body = question("Be steady.", seed=7, n=2)
    first = client.chat.completions.create(**body)
    again = client.chat.completions.create(**body)
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert texts[0] != texts[1]
    assert first.id != again.id
    assert first.usage == again.usage
    streamed = ["", ""]
    for chunk in client.chat.completions.create(**body, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts
    other = client.chat.completions.create(**(body | {"seed": 8}))
    assert other.choices[0].message.content != texts[0]


def test_a_stream_reports_usage_when_asked(simulated: Simulated, client: OpenAI) -> None:
    body = question(stream=True, stream_options={"include_usage": True})
    response = client.chat.completions.with_raw_response.create(**body)
    chunks = list(response.parse())
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage is not None
    charge = simulated.charge(response.headers["x-request-id"])
    assert (charge.prompt_tokens, charge.completion_tokens) == (
        usage.prompt_tokens,
        usage.completion_tokens,
    )
    assert charge.streamed
    assert charge.finished


def test_natural_length_can_be_set_by_header_and_by_metadata(client: OpenAI) -> None:
    by_header = client.chat.completions.create(
        **question(), extra_headers={"x-sim-output-tokens": "300"}
    )
    by_metadata = client.chat.completions.create(
        **question(metadata={"sim_output_tokens": "20000"}, max_tokens=16_384)
    )
    assert by_header.usage is not None
    assert by_metadata.usage is not None
    assert by_header.usage.completion_tokens == 300
    assert by_metadata.usage.completion_tokens == 16_384
    assert by_metadata.choices[0].finish_reason == "length"


def test_stop_ends_the_text_before_the_sequence(client: OpenAI, tokenizer: Tokenizer) -> None:
    whole = _text(client.chat.completions.create(**question()))
    stop = whole[30:34]
    answer = client.chat.completions.create(**question(stop=stop))
    assert _text(answer) == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokenizer.count(_text(answer), "o200k_base")


@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_is_called(client: OpenAI, tokenizer: Tokenizer, stream: bool) -> None:
    body = question(tools=[WEATHER], tool_choice="required")
    if stream:
        with client.chat.completions.stream(
            **body, stream_options={"include_usage": True}
        ) as events:
            answer: Any = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**body)
    assert answer.choices[0].finish_reason == "tool_calls"
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"place": "sample", "unit": "C"}
    spoken = [call.function.name, call.function.arguments]
    expected = sum(tokenizer.count(text, "o200k_base") for text in spoken)
    assert answer.usage.completion_tokens == expected


def test_a_tool_is_called_when_the_user_asks_and_only_then(client: OpenAI) -> None:
    asked = client.chat.completions.create(**question("Please call the tool", tools=[WEATHER]))
    unasked = client.chat.completions.create(**question("Please rest", tools=[WEATHER]))
    barred = client.chat.completions.create(
        **question("Please call the tool", tools=[WEATHER], tool_choice="none")
    )
    assert asked.choices[0].message.tool_calls
    assert not unasked.choices[0].message.tool_calls
    assert not barred.choices[0].message.tool_calls


def test_legacy_functions_are_called(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        **question(functions=[WEATHER["function"]], function_call={"name": "get_weather"})
    )
    call = answer.choices[0].message.function_call
    assert call is not None
    assert call.name == "get_weather"


def test_structured_output_parses(client: OpenAI) -> None:
    class Line(BaseModel):
        name: str
        amount: int | None

    class Bill(BaseModel):
        lines: list[Line]
        paid: bool

    answer = client.chat.completions.parse(**question(), response_format=Bill)
    bill = answer.choices[0].message.parsed
    assert bill is not None
    assert len(bill.lines) == 1


def test_json_mode_gives_json(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        **question("Answer in JSON", response_format={"type": "json_object"})
    )
    assert "answer" in json.loads(_text(answer))


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5-mini"])
def test_reasoning_counts_as_completion_within_the_maximum(client: OpenAI, model: str) -> None:
    free = client.chat.completions.create(**question(model=model, reasoning_effort="high"))
    assert free.usage is not None
    assert free.usage.completion_tokens_details is not None
    reasoning = free.usage.completion_tokens_details.reasoning_tokens or 0
    assert reasoning >= 256
    assert free.usage.completion_tokens > reasoning
    tight = client.chat.completions.create(
        **question(model=model, reasoning_effort="high", max_completion_tokens=100)
    )
    assert tight.usage is not None
    assert tight.usage.completion_tokens == 100
    assert _text(tight) == ""
    assert tight.choices[0].finish_reason == "length"


def test_service_tier_is_echoed_and_auto_is_default(simulated: Simulated, client: OpenAI) -> None:
    for asked, given in (("auto", "default"), ("flex", "flex"), ("priority", "priority")):
        answer = client.chat.completions.create(**question(model="o3", service_tier=asked))
        assert answer.service_tier == given
        assert simulated.charge(answer._request_id).service_tier == given
    downgraded = client.chat.completions.create(
        **question(service_tier="priority"), extra_headers={"x-sim-service-tier": "default"}
    )
    assert downgraded.service_tier == "default"


def test_a_repeated_long_prompt_is_cached_in_steps_of_128(client: OpenAI) -> None:
    long = " ".join(f"word{number}" for number in range(900))
    cached = []
    for ending in ("one", "one", "two"):
        answer = client.chat.completions.create(**question(f"{long} {ending}"))
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        cached.append(answer.usage.prompt_tokens_details.cached_tokens or 0)
    assert cached[0] == 0
    assert cached[1] >= 1_024
    assert cached[1] % 128 == 0
    assert 1_024 <= cached[2] <= cached[1]
    other = client.chat.completions.create(**question(f"{long} one", model="gpt-4o"))
    assert other.usage is not None
    assert other.usage.prompt_tokens_details is not None
    assert other.usage.prompt_tokens_details.cached_tokens == 0


def test_cache_writes_are_reported_by_models_that_bill_them(client: OpenAI) -> None:
    long = " ".join(f"term{number}" for number in range(900))
    first = client.chat.completions.create(**question(long, model="gpt-5.6-sol"))
    again = client.chat.completions.create(**question(long, model="gpt-5.6-sol"))
    assert first.usage is not None
    assert again.usage is not None
    into, into_again = first.usage.prompt_tokens_details, again.usage.prompt_tokens_details
    assert into is not None
    assert into_again is not None
    assert into.cache_write_tokens == into_again.cached_tokens
    assert (into.cached_tokens, into_again.cache_write_tokens) == (0, None)


def test_rejected_prediction_tokens_are_billed(client: OpenAI) -> None:
    body = question(prediction={"type": "content", "content": "one two three four five six"})
    usage = client.chat.completions.create(**body).usage
    plain = client.chat.completions.create(**question()).usage
    assert usage is not None
    assert plain is not None
    details = usage.completion_tokens_details
    assert details is not None
    assert details.accepted_prediction_tokens == 3
    assert details.rejected_prediction_tokens == 3
    assert usage.completion_tokens == plain.completion_tokens + 3


def test_logprobs_cover_the_text(client: OpenAI) -> None:
    answer = client.chat.completions.create(**question(logprobs=True, top_logprobs=2))
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(entry.token for entry in logprobs.content) == _text(answer)
    assert all(len(entry.top_logprobs) == 2 for entry in logprobs.content)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"role": "boss"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.[0].role", None),
        ({"messages": [{"role": "user", "content": None}]}, "messages.[0].content", None),
        (
            {"max_tokens": 5, "max_completion_tokens": 5},
            "max_tokens",
            "invalid_parameter_combination",
        ),
        ({"max_tokens": 16_385}, "max_tokens", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": "9"}, "max_tokens", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"model": "o3", "max_tokens": 9}, "max_tokens", "unsupported_parameter"),
        ({"model": "o3", "temperature": 0.5}, "temperature", "unsupported_value"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", None),
        ({"metadata": {"sim_fault": "nonsense"}}, "sim_fault", None),
    ],
)
def test_bad_requests_are_refused_as_the_provider_does(
    client: OpenAI, change: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(**(question() | change))
    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"


def test_a_prompt_past_the_context_window_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(**question("word " * 9_000, model="gpt-4"))
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(**question(model="gpt-4", max_tokens=8_192))
    assert refused.value.code == "context_length_exceeded"


def test_unknown_models_and_embedding_models_do_not_chat(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as refused:
        client.chat.completions.create(**question(model="gpt-99"))
    assert refused.value.code == "model_not_found"
    with pytest.raises(NotFoundError):
        client.chat.completions.create(**question(model="text-embedding-3-small"))
