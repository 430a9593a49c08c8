"""Wait for objects of the provider, which tell nobody that they change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.02
SECONDS_MAX = 30.0

T = TypeVar("T")


def when(fetch: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """The first answer of ``fetch`` for which ``holds``; fails with the last one."""
    deadline = time.monotonic() + SECONDS_MAX
    while not holds(found := fetch()):
        assert time.monotonic() < deadline, found
        time.sleep(POLL_SECONDS)
    return found
