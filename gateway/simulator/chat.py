"""``POST /v1/chat/completions``: whole and streamed answers, tool calls, structured output."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any

import gevent
import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.chat_events import chat_stream
from gateway.simulator.chat_reply import Call, Choice, Reply, completion, usage_of
from gateway.simulator.counting import Prompt, count_prompt
from gateway.simulator.errors import bad_request
from gateway.simulator.faults import Directives
from gateway.simulator.models import Model
from gateway.simulator.prompt_cache import PromptCache
from gateway.simulator.schema import instance_of
from gateway.simulator.server import Answer, Request, Stream
from gateway.simulator.stored_chat import StoredChats
from gateway.simulator.text import Writer, cut_at_stop, cut_at_tokens, language_of
from gateway.simulator.truth import Charge
from gateway.simulator.validation import check_chat

NATURAL_TOKENS_MIN = 40
NATURAL_TOKENS_SPREAD = 81
"""Answers are 40 to 120 tokens long by themselves."""

OFFLOAD_BYTES = 16_384
"""Requests larger than this are counted on a thread, so that they do not stall the others."""

_REASONING_STEP = 64
_REASONING_STEPS = {"none": (0, 1), "minimal": (0, 1), "low": (1, 3), "medium": (1, 8)}
_REASONING_STEPS_HIGH = (4, 24)
_CALL_PHRASE = "call the tool"


class Chat:
    """The endpoint; holds the prompt cache."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        writer: Writer,
        cache: PromptCache,
        stored: StoredChats | None = None,
    ) -> None:
        """``stored`` keeps the completions made with ``store``; None keeps none."""
        self._tokenizer = tokenizer
        self.writer = writer
        self._cache = cache
        self._stored = stored

    def __call__(self, request: Request) -> Answer | Stream:
        """Answer a request. Raises ProviderError as the provider would refuse it."""
        body = _with_functions_as_tools(request.json())
        model = check_chat(body, request.strict)
        reply = self._reply(request, body, model)
        keep: Callable[[], None] | None = None
        if body.get("store") and self._stored is not None:
            keep = partial(self._stored.keep, request, completion(reply))
        if body.get("stream"):
            options = body.get("stream_options") or {}
            usage = usage_of(reply.charge) if options.get("include_usage") else None
            stream = chat_stream(reply, usage)
            stream.on_charged = keep
            return stream
        return Answer(orjson.dumps(completion(reply)), reply.charge, on_charged=keep)

    def _reply(self, request: Request, body: dict[str, Any], model: Model) -> Reply:
        prompt = self.count(body, model, len(request.body))
        limit = _output_limit(body, model, prompt.tokens)
        seed = seed_of(body, model)
        choices = [
            self.choice(body, model, request.directives, seed, index, limit)
            for index in range(body.get("n") or 1)
        ]
        return Reply(
            id=f"chatcmpl-{request.id[4:33]}",
            created=int(time.time()),
            model=model,
            fingerprint=f"fp_{blake2b(model.snapshot.encode(), digest_size=5).hexdigest()}",
            choices=choices,
            charge=self._charge(body, model, request.directives, prompt, choices, limit),
            legacy_call=bool(body.get("functions")),
            logprobs=bool(body.get("logprobs")),
            top_logprobs=body.get("top_logprobs") or 0,
            seed=seed,
        )

    def count(self, body: Mapping[str, Any], model: Model, size: int) -> Prompt:
        """The prompt of a validated chat request of ``size`` bytes."""
        to_count = (model, self._tokenizer, body, body.get("tools") or [])
        if size > OFFLOAD_BYTES:
            prompt: Prompt = gevent.get_hub().threadpool.apply(count_prompt, to_count)
            return prompt
        return count_prompt(*to_count)

    def cached(self, body: Mapping[str, Any], model: Model, prompt: Prompt) -> tuple[int, int]:
        """Tokens of ``prompt`` that were cached, and that are newly billed as cache writes."""
        if not model.caching:
            return 0, 0
        scope = f"{model.snapshot}/{body.get('prompt_cache_key') or ''}"
        cached, written = self._cache.look_up_and_store(scope, prompt.ids, prompt.tokens)
        return cached, written if model.cache_writes else 0

    def choice(
        self,
        body: Mapping[str, Any],
        model: Model,
        wish: Directives,
        seed: int,
        index: int,
        limit: int,
    ) -> Choice:
        """One answer to a validated chat request, of at most ``limit`` tokens."""
        seed += index * 0x9E3779B97F4A7C15
        reasoning = min(_reasoning_tokens(body, model, wish, seed), limit)
        room = limit - reasoning
        tool = _tool_to_call(body)
        if tool is not None:
            return self._calling(body, model, tool, seed, index, reasoning, room)
        length = wish.output_tokens
        if length is None:
            length = NATURAL_TOKENS_MIN + (seed >> 8) % NATURAL_TOKENS_SPREAD
        form = (body.get("response_format") or {}).get("type", "text")
        language = language_of(last_user_text(body["messages"]))
        if form == "text":
            pieces = self.writer.compose(language, model.encoding, seed, length, room)
            short = length > room
        else:
            document = self._document(body, model, language, seed, length)
            whole = self.writer.pieces_of(document, model.encoding)
            pieces, short = cut_at_tokens(whole, room)
        stop = body.get("stop")
        stopped = False
        if stop:
            stops = [stop] if isinstance(stop, str) else stop
            pieces, stopped = cut_at_stop(pieces, stops, self.writer, model.encoding)
        finish = "length" if short and not stopped else "stop"
        return Choice(index, pieces, None, reasoning, finish)

    def _calling(
        self,
        body: Mapping[str, Any],
        model: Model,
        tool: Mapping[str, Any],
        seed: int,
        index: int,
        reasoning: int,
        room: int,
    ) -> Choice:
        """A choice that calls ``tool``; its name counts with the first piece of arguments."""
        arguments = orjson.dumps(instance_of(tool.get("parameters") or {"type": "object"}))
        pieces = self.writer.pieces_of(arguments.decode(), model.encoding)
        name_tokens = self.writer.count(tool["name"], model.encoding)
        pieces[0] = pieces[0]._replace(tokens=pieces[0].tokens + name_tokens)
        pieces, short = cut_at_tokens(pieces, room)
        call_id = blake2b(b"%x" % (seed & (1 << 80) - 1), digest_size=12).hexdigest()
        finish = "function_call" if body.get("functions") else "tool_calls"
        if isinstance(body.get("tool_choice"), dict):
            # The provider's own habit where the request names the function.
            finish = "stop"
        call = Call(f"call_{call_id}", tool["name"], pieces) if pieces else None
        return Choice(index, [], call, reasoning, "length" if short else finish)

    def _document(
        self, body: Mapping[str, Any], model: Model, language: str, seed: int, length: int
    ) -> str:
        """The JSON text of a structured answer."""
        form = body["response_format"]
        if form["type"] == "json_schema":
            return orjson.dumps(instance_of(form["json_schema"].get("schema") or {})).decode()
        words = self.writer.compose(language, model.encoding, seed, length, length)
        return orjson.dumps({"answer": "".join(piece.text for piece in words)}).decode()

    def _charge(
        self,
        body: Mapping[str, Any],
        model: Model,
        wish: Directives,
        prompt: Prompt,
        choices: list[Choice],
        limit: int,
    ) -> Charge:
        cached, written = self.cached(body, model, prompt)
        reasoning = sum(choice.reasoning_tokens for choice in choices)
        visible = sum(choice.visible_tokens for choice in choices)
        accepted, rejected = self._prediction(body, model, visible, limit - reasoning - visible)
        return Charge(
            endpoint="chat/completions",
            model=model.snapshot,
            requested_model=body["model"],
            service_tier=tier_of(body, wish),
            prompt_tokens=prompt.tokens,
            cached_tokens=cached,
            cache_write_tokens=written,
            image_tokens=prompt.image_tokens,
            completion_tokens=reasoning + visible + rejected,
            reasoning_tokens=reasoning,
            accepted_prediction_tokens=accepted,
            rejected_prediction_tokens=rejected,
            # Each choice searches once, and the answer does not say so.
            units=_searches(body, len(choices)),
            streamed=bool(body.get("stream")),
        )

    def _prediction(
        self, body: Mapping[str, Any], model: Model, visible: int, room: int
    ) -> tuple[int, int]:
        """Accepted and rejected prediction tokens: half of the prediction comes true.

        Rejected tokens are billed on top of the answer, within the maximum.
        """
        content = (body.get("prediction") or {}).get("content")
        if not content or body.get("n", 1) != 1:
            return 0, 0
        if not isinstance(content, str):
            content = "".join(part.get("text", "") for part in content)
        predicted = self.writer.count(content, model.encoding)
        accepted = min(predicted // 2, visible)
        return accepted, max(0, min(predicted - accepted, room))


def tier_of(body: Mapping[str, Any], wish: Directives) -> str:
    """The service tier that a request is served, and billed, at."""
    tier = body.get("service_tier")
    return wish.service_tier or ("default" if tier in (None, "auto") else str(tier))


def seed_of(body: Mapping[str, Any], model: Model) -> int:
    """What decides the answer to a chat request: the same for the same messages and seed."""
    content = orjson.dumps([model.snapshot, body["messages"], body.get("seed")])
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def _searches(body: Mapping[str, Any], choices: int) -> dict[str, int]:
    return {} if body.get("web_search_options") is None else {"web_search_calls": choices}


def _with_functions_as_tools(body: dict[str, Any]) -> dict[str, Any]:
    """The request with the legacy ``functions`` also given as ``tools``."""
    functions = body.get("functions")
    if not isinstance(functions, list) or body.get("tools"):
        return body
    choice = body.get("function_call")
    if isinstance(choice, dict):
        choice = {"type": "function", "function": choice}
    tools = [{"type": "function", "function": function} for function in functions]
    return {**body, "tools": tools, "tool_choice": choice}


def _output_limit(body: Mapping[str, Any], model: Model, prompt_tokens: int) -> int:
    """The most output tokens of one choice. Raises ProviderError where the context is full."""
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    if prompt_tokens + (asked or 0) <= model.context and prompt_tokens < model.context:
        return min(asked or model.output_max, model.context - prompt_tokens)
    if asked is None or prompt_tokens >= model.context:
        resulted = f"your messages resulted in {prompt_tokens} tokens"
        advice = "Please reduce the length of the messages."
    else:
        resulted = (
            f"you requested {prompt_tokens + asked} tokens ({prompt_tokens} in the messages, "
            f"{asked} in the completion)"
        )
        advice = "Please reduce the length of the messages or completion."
    raise bad_request(
        f"This model's maximum context length is {model.context} tokens. "
        f"However, {resulted}. {advice}",
        "messages",
        "context_length_exceeded",
    )


def _reasoning_tokens(body: Mapping[str, Any], model: Model, wish: Directives, seed: int) -> int:
    if not model.reasoning:
        return 0
    if wish.reasoning_tokens is not None:
        return wish.reasoning_tokens
    effort = body.get("reasoning_effort") or "medium"
    low, spread = _REASONING_STEPS.get(effort, _REASONING_STEPS_HIGH)
    return _REASONING_STEP * (low + (seed >> 20) % spread)


def _tool_to_call(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function to call: one the request forces, or the first where the user asks for it."""
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        named = choice["function"]["name"]
        found: Mapping[str, Any] = next(
            tool["function"] for tool in tools if tool["function"]["name"] == named
        )
        return found
    asked = body["messages"][-1]["role"] == "user" and _CALL_PHRASE in last_user_text(
        body["messages"]
    )
    if choice == "required" or asked:
        first: Mapping[str, Any] = tools[0]["function"]
        return first
    return None


def last_user_text(messages: list[dict[str, Any]]) -> str:
    """The text of the last message of the user."""
    for message in reversed(messages):
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            return " ".join(part["text"] for part in content if part["type"] == "text")
    return ""
