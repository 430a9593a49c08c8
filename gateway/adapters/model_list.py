"""The provider's own list of models, asked for now and then and never on the hot path."""

from __future__ import annotations

from time import monotonic

from gevent.lock import BoundedSemaphore
from openai.types import Model

from gateway.adapters.upstream import Upstream, UpstreamError

FRESH_SECONDS = 60.0
RETRY_SECONDS = 5.0


class ModelList:
    """Models by id, at most FRESH_SECONDS old."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._models: dict[str, Model] | None = None
        self._until = 0.0
        self._asking = BoundedSemaphore(1)

    def get(self) -> dict[str, Model] | None:
        """The provider's models; the last known ones where it cannot be asked, None for never."""
        if monotonic() < self._until:
            return self._models
        with self._asking:
            if monotonic() >= self._until:
                try:
                    self._models = {model.id: model for model in self._upstream.models()}
                    self._until = monotonic() + FRESH_SECONDS
                except UpstreamError:
                    self._until = monotonic() + RETRY_SECONDS
            return self._models
