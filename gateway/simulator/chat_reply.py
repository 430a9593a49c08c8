"""A chat answer before it is sent, and its whole form, the ``chat.completion`` object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.simulator.models import Model
from gateway.simulator.text import Piece
from gateway.simulator.truth import Charge


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call in an answer."""

    id: str
    name: str
    arguments: list[Piece]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the ``n`` answers."""

    index: int
    pieces: list[Piece]
    """The visible text; empty where there is a call."""
    call: Call | None
    reasoning_tokens: int
    finish_reason: str

    @property
    def visible_tokens(self) -> int:
        """Tokens that the client can see: text, or the call's name and arguments."""
        shown = self.call.arguments if self.call else self.pieces
        return sum([piece.tokens for piece in shown])


@dataclass(frozen=True, slots=True)
class Reply:
    """Everything about one answer but how it is sent."""

    id: str
    created: int
    model: Model
    fingerprint: str
    choices: list[Choice]
    charge: Charge
    legacy_call: bool
    logprobs: bool
    top_logprobs: int
    seed: int


def usage_of(charge: Charge) -> dict[str, Any]:
    """The ``usage`` object of a chat completion."""
    into = {"cached_tokens": charge.cached_tokens, "audio_tokens": 0}
    if charge.cache_write_tokens:
        into["cache_write_tokens"] = charge.cache_write_tokens
    return {
        "prompt_tokens": charge.prompt_tokens,
        "completion_tokens": charge.completion_tokens,
        "total_tokens": charge.prompt_tokens + charge.completion_tokens,
        "prompt_tokens_details": into,
        "completion_tokens_details": {
            "reasoning_tokens": charge.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": charge.accepted_prediction_tokens,
            "rejected_prediction_tokens": charge.rejected_prediction_tokens,
        },
    }


def completion(reply: Reply) -> dict[str, Any]:
    """The ``chat.completion`` object."""
    return {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model.snapshot,
        "choices": [_whole_choice(reply, choice) for choice in reply.choices],
        "usage": usage_of(reply.charge),
        "service_tier": reply.charge.service_tier,
        "system_fingerprint": reply.fingerprint,
    }


def _whole_choice(reply: Reply, choice: Choice) -> dict[str, Any]:
    content = None if choice.call else "".join([piece.text for piece in choice.pieces])
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": [],
    }
    if choice.call:
        arguments = "".join(piece.text for piece in choice.call.arguments)
        function = {"name": choice.call.name, "arguments": arguments}
        if reply.legacy_call:
            message["function_call"] = function
        else:
            call = {"id": choice.call.id, "type": "function", "function": function}
            message["tool_calls"] = [call]
    logprobs = None
    if reply.logprobs:
        content_logprobs = [
            logprob_of(piece, reply.seed, reply.top_logprobs) for piece in choice.pieces
        ]
        logprobs = {"content": content_logprobs, "refusal": None}
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": choice.finish_reason,
    }


def logprob_of(piece: Piece, seed: int, top_logprobs: int) -> dict[str, Any]:
    """A log probability for ``piece``, made up but steady, as ``logprobs`` shows it.

    Unlike the provider, tokens that share a character are shown as one.
    """
    first = -((len(piece.text) * 37 + seed) % 1_000) / 1_000
    shown = _ranked(piece.text, first)
    others = [_ranked(f"{piece.text}{rank}", first - rank) for rank in range(1, top_logprobs)]
    return {**shown, "top_logprobs": [shown, *others] if top_logprobs else []}


def _ranked(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
