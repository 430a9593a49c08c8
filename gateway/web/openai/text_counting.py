"""Counts the tokens of texts in a request."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.adapters.threads import on_counting_thread
from gateway.adapters.tokenizer import LONG_TEXT_CHARACTERS
from gateway.core.catalog import facts_for
from gateway.web.current import Services


def tokens_of(at: Services, model: str, texts: Iterable[str]) -> int:
    """The tokens of all ``texts`` by the model's tokenizer."""
    given = list(texts)
    count = at.gate.tokenizer.counter(facts_for(model))

    def counted() -> int:
        return sum(map(count, given))

    if sum(map(len, given)) > LONG_TEXT_CHARACTERS:
        # In a native thread, where other requests do not wait for it.
        return on_counting_thread(counted)
    return counted()
