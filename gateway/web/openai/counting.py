"""Counting prompts where it holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from gateway.adapters.threads import on_counting_thread
from gateway.adapters.tokenizer import LONG_TEXT_CHARACTERS
from gateway.core.catalog import facts_for
from gateway.web.current import Services

_T = TypeVar("_T")


def counted(size: int, count: Callable[..., _T], *args: Any) -> _T:
    """``count(*args)`` of a body of ``size`` bytes; a long one in a native thread, where other
    requests do not wait for it."""
    return count(*args) if size <= LONG_TEXT_CHARACTERS else on_counting_thread(count, *args)


def tokens_of(at: Services, model: str, texts: Iterable[str]) -> int:
    """The tokens of all ``texts`` by the model's tokenizer."""
    given = list(texts)
    count = at.gate.tokenizer.counter(facts_for(model))
    return counted(sum(map(len, given)), lambda: sum(map(count, given)))
