"""Counting prompts where it holds up nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent

from gateway.adapters.tokenizer import LONG_TEXT_CHARACTERS

_P = ParamSpec("_P")
_T = TypeVar("_T")


def counted(size: int, count: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """``count`` of a body of ``size`` bytes; a long one in a native thread, where other requests
    do not wait for it."""
    if size <= LONG_TEXT_CHARACTERS:
        return count(*args, **kwargs)
    result: _T = gevent.get_hub().threadpool.apply(count, args, kwargs)
    return result
