"""``POST /v1/completions``, the legacy endpoint: texts or token arrays in, texts out.

Source: OpenAI API reference, "Completions", and the error texts of the API. ``usage`` counts the
tokens of all ``best_of`` candidates, of which the ``n`` best are returned.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import gevent
import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.chat import NATURAL_TOKENS_MIN, NATURAL_TOKENS_SPREAD, OFFLOAD_BYTES
from gateway.simulator.chat_reply import logprob_of
from gateway.simulator.completions_validation import Prompts, check_completions, prompts_of
from gateway.simulator.errors import bad_request
from gateway.simulator.faults import Directives
from gateway.simulator.models import Model
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request, Stream
from gateway.simulator.text import Piece, Writer, cut_at_stop, language_of
from gateway.simulator.truth import Charge

TOKENS_DEFAULT = 16
_MARK = "\x00"


@dataclass(frozen=True, slots=True)
class _Text:
    """One of the texts returned, with the prompt before it where it is to be echoed."""

    index: int
    echo: list[Piece]
    pieces: list[Piece]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class _Reply:
    """Everything about one answer but how it is sent."""

    frame: dict[str, Any]
    texts: list[_Text]
    charge: Charge
    logprobs: int | None
    seed: int


class Completions:
    """The endpoint."""

    def __init__(self, tokenizer: Tokenizer, writer: Writer) -> None:
        self._tokenizer = tokenizer
        self._writer = writer

    def routes(self) -> list[Route]:
        """The endpoints."""
        return [("POST", "/v1/completions", self)]

    def __call__(self, request: Request) -> Answer | Stream:
        """Answer a request. Raises ProviderError as the provider would refuse it."""
        body = request.json()
        model = check_completions(body, request.strict)
        work = (body, model, self._tokenizer)
        if len(request.body) > OFFLOAD_BYTES:
            prompts = gevent.get_hub().threadpool.apply(prompts_of, work)
        else:
            prompts = prompts_of(*work)
        reply = self._reply(request, body, model, prompts)
        usage = {
            "prompt_tokens": reply.charge.prompt_tokens,
            "completion_tokens": reply.charge.completion_tokens,
            "total_tokens": reply.charge.prompt_tokens + reply.charge.completion_tokens,
        }
        if body.get("stream"):
            options = body.get("stream_options") or {}
            return _stream(reply, usage if options.get("include_usage") else None)
        choices = [_whole(reply, text) for text in reply.texts]
        answer = {**reply.frame, "choices": choices, "usage": usage}
        return Answer(orjson.dumps(answer), reply.charge)

    def _reply(
        self, request: Request, body: Mapping[str, Any], model: Model, prompts: Prompts
    ) -> _Reply:
        asked = body.get("max_tokens")
        limit = TOKENS_DEFAULT if asked is None else asked
        longest = max(len(ids) for ids in prompts.ids) + prompts.suffix_tokens
        if longest + limit > model.context:
            raise bad_request(
                f"This model's maximum context length is {model.context} tokens, however you "
                f"requested {longest + limit} tokens ({longest} in your prompt; {limit} for the "
                "completion). Please reduce your prompt; or completion length.",
                code="context_length_exceeded",
            )
        count = body.get("n") or 1
        candidates = max(count, body.get("best_of") or 1)
        texts: list[_Text] = []
        generated = 0
        first_seed = 0
        for number, ids in enumerate(prompts.ids):
            seed = _seed_of(ids, model, body.get("seed"))
            first_seed = first_seed or seed
            echo = [piece for piece in self._echo(ids, model) if body.get("echo")]
            for candidate in range(candidates):
                index = number * count + candidate
                text = self._text(body, model, request.directives, seed, candidate, limit)
                generated += sum(piece.tokens for piece in text.pieces)
                if candidate < count:
                    texts.append(_Text(index, echo, text.pieces, text.finish_reason))
        charge = Charge(
            endpoint="completions",
            model=model.snapshot,
            requested_model=body["model"],
            prompt_tokens=sum(map(len, prompts.ids)) + prompts.suffix_tokens * len(prompts.ids),
            completion_tokens=generated,
            streamed=bool(body.get("stream")),
        )
        frame = {
            "id": f"cmpl-{request.id[4:33]}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.snapshot,
        }
        return _Reply(frame, texts, charge, body.get("logprobs"), first_seed)

    def _echo(self, ids: list[int], model: Model) -> list[Piece]:
        return self._writer.pieces_of(self._tokenizer.decode(ids, model.encoding), model.encoding)

    def _text(
        self,
        body: Mapping[str, Any],
        model: Model,
        wish: Directives,
        seed: int,
        candidate: int,
        limit: int,
    ) -> _Text:
        """A candidate of at most ``limit`` tokens, without the prompt."""
        seed += candidate * 0x9E3779B97F4A7C15
        length = wish.output_tokens
        if length is None:
            length = NATURAL_TOKENS_MIN + (seed >> 8) % NATURAL_TOKENS_SPREAD
        language = language_of(body["prompt"]) if isinstance(body.get("prompt"), str) else "en"
        pieces = self._writer.compose(language, model.encoding, seed, length, limit)
        stop = body.get("stop")
        stopped = False
        if stop:
            stops = [stop] if isinstance(stop, str) else stop
            pieces, stopped = cut_at_stop(pieces, stops, self._writer, model.encoding)
        finish = "length" if length > limit and not stopped else "stop"
        return _Text(0, [], pieces, finish)


def _seed_of(ids: list[int], model: Model, seed: object) -> int:
    content = orjson.dumps([model.snapshot, ids, seed])
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def _whole(reply: _Reply, text: _Text) -> dict[str, Any]:
    shown = [*text.echo, *text.pieces]
    return {
        "text": "".join(piece.text for piece in shown),
        "index": text.index,
        "logprobs": _logprobs(reply, shown, 0, echoed=bool(text.echo)),
        "finish_reason": text.finish_reason,
    }


def _logprobs(
    reply: _Reply, pieces: list[Piece], offset: int, *, echoed: bool = False
) -> dict[str, Any] | None:
    """The parallel lists of the legacy form. The first token of a prompt has no probability."""
    if reply.logprobs is None:
        return None
    ranked = [logprob_of(piece, reply.seed, reply.logprobs) for piece in pieces]
    offsets = []
    for piece in pieces:
        offsets.append(offset)
        offset += len(piece.text)
    numbers: list[float | None] = [entry["logprob"] for entry in ranked]
    tops: list[dict[str, float] | None] = [
        {top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in ranked
    ]
    if echoed and numbers:
        numbers[0] = tops[0] = None
    return {
        "tokens": [piece.text for piece in pieces],
        "token_logprobs": numbers,
        "top_logprobs": tops if reply.logprobs else None,
        "text_offset": offsets,
    }


def _stream(reply: _Reply, usage: dict[str, Any] | None) -> Stream:
    """One event per token; with ``usage``, ``usage: null`` in all and a last usage event."""
    usage_event = b""
    frame = dict(reply.frame)
    if usage is not None:
        usage_event = _event({**frame, "choices": [], "usage": usage})
        frame["usage"] = None
    return Stream(
        events=_events(reply, frame),
        event_count=sum(len(text.echo) + len(text.pieces) + 1 for text in reply.texts),
        charge=reply.charge,
        usage_event=usage_event,
    )


def _events(reply: _Reply, frame: dict[str, Any]) -> Iterator[tuple[bytes, int]]:
    tokens = 0
    for text in reply.texts:
        choice = {"text": _MARK, "index": text.index, "logprobs": None, "finish_reason": None}
        before, after = _event({**frame, "choices": [choice]}).split(orjson.dumps(_MARK))
        offset = 0
        for place, piece in enumerate([*text.echo, *text.pieces]):
            is_new = place >= len(text.echo)
            tokens += piece.tokens if is_new else 0
            if reply.logprobs is None:
                yield before + piece.json + after, tokens
            else:
                echoed = not is_new and place == 0
                logprobs = _logprobs(reply, [piece], offset, echoed=echoed)
                shown = {**choice, "text": piece.text, "logprobs": logprobs}
                yield _event({**frame, "choices": [shown]}), tokens
            offset += len(piece.text)
        end = {**choice, "text": "", "finish_reason": text.finish_reason}
        yield _event({**frame, "choices": [end]}), tokens


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
