"""Responses kept with ``store``: get, delete, cancel, their input items, their events again.

Source: OpenAI API reference, "Responses", and the guide "Background mode". Nothing here is billed
but what a cancelled response had generated. Unpublished: a stream that its client did not see to
the end is not kept; a cancelled response shows no usage.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.simulator.errors import ProviderError, bad_request, invalid_type
from gateway.simulator.faults import Fault
from gateway.simulator.listing import is_ascending, page_of
from gateway.simulator.responses_background import Run
from gateway.simulator.responses_shape import Draft, response_at
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request, Stream

KEPT_MAX = 20_000
"""The oldest are forgotten after that many, so that long runs do not fill the memory."""


@dataclass(slots=True)
class _Kept:
    draft: Draft
    response: dict[str, Any] | None
    run: Run | None

    def shown(self) -> dict[str, Any]:
        """The ``response`` object as of now."""
        if self.run is not None:
            return self.run.response
        assert self.response is not None
        return self.response


class StoredResponses:
    """The stored responses of one simulator, and their endpoints."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def keep(self, draft: Draft) -> None:
        """Keep a response that ended."""
        self._add(_Kept(draft, response_at(draft, draft.status), None))

    def keep_running(self, run: Run) -> None:
        """Keep a response in the background."""
        self._add(_Kept(run.draft, None, run))

    def _add(self, kept: _Kept) -> None:
        self._kept[kept.draft.id] = kept
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def context_of(self, identity: str | None) -> list[dict[str, Any]]:
        """All items up to the end of a response, for the next to go on from; none for None.

        Raises ProviderError (400) for a response that is not known, or not ended.
        """
        if identity is None:
            return []
        kept = self._kept.get(identity)
        if kept is None:
            raise bad_request(
                f"Previous response with id '{identity}' not found.",
                "previous_response_id",
                "previous_response_not_found",
            )
        response = kept.shown()
        if response["status"] in ("queued", "in_progress"):
            raise bad_request(
                f"Previous response with id '{identity}' is still in progress.",
                "previous_response_id",
            )
        return [*kept.draft.items, *response["output"]]

    def routes(self) -> list[Route]:
        """The endpoints."""
        one = "/v1/responses/{response}"
        return [
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("POST", f"{one}/cancel", self._cancel),
            ("GET", f"{one}/input_items", self._input_items),
        ]

    def _get(self, request: Request) -> Answer | Stream:
        kept = self._found(request)
        arguments = request.arguments()
        if arguments.get("stream") != "true":
            return _json(kept.shown())
        if kept.run is None or not kept.draft.body.get("stream"):
            raise bad_request(
                f"Response '{kept.draft.id}' cannot be streamed because it was not created with "
                "background=true and stream=true.",
                "stream",
            )
        after = arguments.get("starting_after", "-1")
        if after != "-1" and not after.isdecimal():
            raise invalid_type("starting_after", "an integer", after)
        bare = request.directives.fault is Fault.NO_USAGE
        return kept.run.stream(int(after), bare=bare)

    def _delete(self, request: Request) -> Answer:
        kept = self._found(request)
        del self._kept[kept.draft.id]
        return _json({"id": kept.draft.id, "object": "response", "deleted": True})

    def _cancel(self, request: Request) -> Answer:
        kept = self._found(request)
        if kept.run is None:
            raise bad_request("Cannot cancel a synchronous response.")
        kept.run.cancel()
        return _json(kept.shown())

    def _input_items(self, request: Request) -> Answer:
        items = self._found(request).draft.items
        ascending = is_ascending(request, default=False)
        return page_of(items, request, limit_default=20, limit_max=100, ascending=ascending)

    def _found(self, request: Request) -> _Kept:
        identity = request.params["response"]
        kept = self._kept.get(identity)
        if kept is None:
            raise ProviderError(404, f"Response with id '{identity}' not found.")
        return kept


def _json(value: dict[str, Any]) -> Answer:
    return Answer(orjson.dumps(value))
