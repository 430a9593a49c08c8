"""``POST /v1/responses``, counting its input beforehand, and compacting a conversation.

Source: OpenAI API reference, "Responses". What is stored is read in responses_store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from gateway.simulator.chat import (
    NATURAL_TOKENS_MIN,
    NATURAL_TOKENS_SPREAD,
    Chat,
    seed_of,
    tier_of,
)
from gateway.simulator.errors import missing_parameter
from gateway.simulator.models import Model
from gateway.simulator.responses_background import Run
from gateway.simulator.responses_draft import counted, draft_of
from gateway.simulator.responses_events import response_stream
from gateway.simulator.responses_input import compacted, items_of
from gateway.simulator.responses_shape import response_at, usage_of
from gateway.simulator.responses_store import StoredResponses
from gateway.simulator.responses_validation import check_responses
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request, Stream
from gateway.simulator.truth import Charge, TruthLog

COUNTING_MODEL = "gpt-5"
"""The model that input is counted for where the request names none."""


class Responses:
    """The endpoints."""

    def __init__(self, chat: Chat, log: TruthLog) -> None:
        self._chat = chat
        self._log = log
        self._stored = StoredResponses()

    def routes(self) -> list[Route]:
        """The endpoints, also those of stored responses."""
        return [
            ("POST", "/v1/responses", self.create),
            ("POST", "/v1/responses/input_tokens", self.count),
            ("POST", "/v1/responses/compact", self.compact),
            *self._stored.routes(),
        ]

    def create(self, request: Request) -> Answer | Stream:
        """Answer a request. Raises ProviderError as the provider would refuse it."""
        body = request.json()
        model = check_responses(body, request.strict)
        draft = draft_of(self._chat, request, model, self._items(body, model, request.id))
        if body.get("background"):
            run = Run(draft, request, self._log, self._stored.keep_running)
            if body.get("stream"):
                return run.stream(-1)
            return Answer(orjson.dumps(run.response), on_charged=run.start)
        keep = None if body.get("store") is False else partial(self._stored.keep, draft)
        if body.get("stream"):
            return response_stream(draft, keep)
        whole = response_at(draft, draft.status)
        return Answer(orjson.dumps(whole), draft.charge, on_charged=keep)

    def count(self, request: Request) -> Answer:
        """The input tokens that a response would be charged for. Free."""
        body = {"model": COUNTING_MODEL, **request.json()}
        model = check_responses(body, strict=False)
        items = self._items(body, model, request.id)
        _, prompt = counted(self._chat, body, model, items, len(request.body))
        answer = {"object": "response.input_tokens", "input_tokens": prompt.tokens}
        return Answer(orjson.dumps(answer))

    def compact(self, request: Request) -> Answer:
        """A conversation made short: what users said, and one opaque item for all the rest."""
        body = request.json()
        model = check_responses(body, strict=False)
        items = self._items(body, model, request.id)
        chat_body, prompt = counted(self._chat, body, model, items, len(request.body))
        seed = seed_of(chat_body, model)
        tokens = request.directives.output_tokens
        if tokens is None:
            tokens = NATURAL_TOKENS_MIN + (seed >> 8) % NATURAL_TOKENS_SPREAD
        cached, written = self._chat.cached(body, model, prompt)
        charge = Charge(
            endpoint="responses/compact",
            model=model.snapshot,
            requested_model=body["model"],
            service_tier=tier_of(body, request.directives),
            prompt_tokens=prompt.tokens,
            cached_tokens=cached,
            cache_write_tokens=written,
            image_tokens=prompt.image_tokens,
            completion_tokens=tokens,
        )
        said = [item for item in items if item.get("role") == "user"]
        summary = {
            "id": f"cmp_{request.id[4:]}",
            "type": "compaction",
            "encrypted_content": compacted(tokens),
        }
        answer = {
            "id": f"resp_{request.id[4:]}",
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [*said, summary],
            "usage": usage_of(charge, model),
        }
        return Answer(orjson.dumps(answer), charge)

    def _items(
        self, body: Mapping[str, Any], model: Model, request_id: str
    ) -> list[dict[str, Any]]:
        """All items that a request goes on from, and its own."""
        previous, given = body.get("previous_response_id"), body.get("input")
        earlier = self._stored.context_of(previous)
        own = items_of([] if given is None and earlier else given, model, request_id)
        if not earlier and not own:
            raise missing_parameter("input")
        return [*earlier, *own]
