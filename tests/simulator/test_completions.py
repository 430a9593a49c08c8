from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI
from openai.types import Completion

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.faults import Fault
from tests.simulator.conftest import Simulated, chunks

MODEL = "gpt-3.5-turbo-instruct"
ENCODING = "cl100k_base"
PROMPT = "Budgets limit"


def _complete(client: OpenAI, prompt: Any = PROMPT, **rest: Any) -> Completion:
    answer: Completion = client.completions.create(**({"model": MODEL, "prompt": prompt} | rest))
    return answer


def _usage(answer: Completion) -> tuple[int, int]:
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    return answer.usage.prompt_tokens, answer.usage.completion_tokens


def test_sixteen_tokens_by_default(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    answer = _complete(client)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert tokenizer.count(choice.text, ENCODING) == 16
    assert _usage(answer) == (tokenizer.count(PROMPT, ENCODING), 16)
    charge = simulated.charge(answer._request_id)
    assert (charge.endpoint, charge.model) == ("completions", MODEL)
    assert (charge.prompt_tokens, charge.completion_tokens) == _usage(answer)


@pytest.mark.parametrize("model", ["davinci-002", "babbage-002"])
def test_the_base_models_complete(client: OpenAI, model: str) -> None:
    answer = _complete(client, model=model, max_tokens=16_000)
    assert answer.model == model
    assert answer.choices[0].finish_reason == "stop"


def test_all_candidates_are_billed(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    headers = {"x-sim-output-tokens": "10"}
    answer = _complete(client, n=2, best_of=5, extra_headers=headers)
    assert len({choice.text for choice in answer.choices}) == 2
    assert _usage(answer) == (tokenizer.count(PROMPT, ENCODING), 50)
    assert simulated.charge(answer._request_id).completion_tokens == 50
    assert _usage(_complete(client, n=3, extra_headers=headers))[1] == 30


def test_prompts_may_be_texts_and_tokens(client: OpenAI, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(PROMPT, ENCODING)
    texts = [
        [choice.text for choice in _complete(client, given).choices]
        for given in (PROMPT, [PROMPT], ids, [ids])
    ]
    assert texts[0] == texts[1] == texts[2] == texts[3]
    both = _complete(client, [PROMPT, "And"], n=2)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert _usage(both) == (len(ids) + 1, 64)
    without = client.post("/completions", body={"model": MODEL}, cast_to=Completion)
    assert _usage(without)[0] == 1


def test_echo_suffix_and_stop(client: OpenAI, tokenizer: Tokenizer) -> None:
    plain = _complete(client)
    echoed = _complete(client, echo=True)
    assert echoed.choices[0].text == PROMPT + plain.choices[0].text
    assert _usage(echoed) == _usage(plain)
    only = _complete(client, echo=True, max_tokens=0)
    assert only.choices[0].text == PROMPT
    assert _usage(only)[1] == 0
    inserted = _complete(client, suffix=" the end")
    assert _usage(inserted)[0] - _usage(plain)[0] == tokenizer.count(" the end", ENCODING)
    stop = plain.choices[0].text[8:12]
    stopped = _complete(client, stop=stop)
    assert stopped.choices[0].finish_reason == "stop"
    assert stop not in stopped.choices[0].text
    assert _usage(stopped)[1] == tokenizer.count(stopped.choices[0].text, ENCODING)


def test_log_probabilities_line_up_with_the_text(client: OpenAI) -> None:
    (choice,) = _complete(client, logprobs=2, echo=True).choices
    assert choice.logprobs is not None
    shown: Any = choice.logprobs
    assert "".join(shown.tokens) == choice.text
    assert shown.token_logprobs[0] is None
    assert {len(top) for top in shown.top_logprobs[1:]} == {2}
    for token, offset in zip(shown.tokens, shown.text_offset, strict=True):
        assert choice.text[offset:].startswith(token)


@pytest.mark.parametrize("rest", [{}, {"logprobs": 1}, {"echo": True, "n": 2}])
def test_a_stream_says_the_same(simulated: Simulated, client: OpenAI, rest: Any) -> None:
    whole = _complete(client, **rest)
    response = client.completions.with_raw_response.create(
        model=MODEL, prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **rest
    )
    events: list[Any] = list(response.parse())
    texts = [""] * len(whole.choices)
    reasons = {}
    for event in events[:-1]:
        assert event.usage is None
        (choice,) = event.choices
        texts[choice.index] += choice.text
        reasons[choice.index] = choice.finish_reason
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert events[-1].choices == []
    assert events[-1].usage == whole.usage
    charge = simulated.charge(response.headers["x-request-id"])
    assert charge.completion_tokens == events[-1].usage.completion_tokens
    assert charge.streamed


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK, Fault.ERROR_EVENT])
def test_a_broken_stream_is_charged_so_far(
    simulated: Simulated, tokenizer: Tokenizer, fault: Fault
) -> None:
    mark = uuid4().hex
    body = {"model": MODEL, "prompt": PROMPT, "stream": True, "max_tokens": 40}
    reply = simulated.raw(body, "completions", x_sim_fault=fault, x_client_request_id=mark)
    assert reply.was_reset == (fault is Fault.RESET_MID_STREAM)
    events = [json.loads(e[6:]) for e in chunks(reply.data.partition(b"\r\n\r\n")[2])[0]]
    text = "".join(e["choices"][0]["text"] for e in events if "choices" in e)
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == tokenizer.count(text, ENCODING)
    assert 0 < charge.completion_tokens < 40
    assert not charge.finished


@pytest.mark.parametrize("stream", [False, True])
def test_usage_can_be_missing_though_charged(simulated: Simulated, stream: bool) -> None:
    mark = uuid4().hex
    body: dict[str, Any] = {"model": MODEL, "prompt": PROMPT}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    reply = simulated.raw(body, "completions", x_sim_fault="no-usage", x_client_request_id=mark)
    assert b"prompt_tokens" not in reply.body
    assert simulated.charges_of_client(mark)[0].completion_tokens == 16
