"""Native threads for what would hold up the event loop, in a pool for each kind of work.

Were there one pool, long token counts would keep policies from being loaded, and a locked
database would keep names from being resolved: gevent's own pool, the hub's, resolves them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import gevent
from gevent.threadpool import ThreadPool

COUNTING_THREADS = max(2, os.cpu_count() or 2)
"""Counting and parsing are CPU: more threads than processors would do no more of it."""

SQL_THREADS = 8
"""Statements that may run, or wait for a lock, at once."""

_T = TypeVar("_T")
_Pools = WeakKeyDictionary[Any, ThreadPool]

DISK_THREADS = 2
"""Syncs of small files that may run at once."""

INTENT_THREADS = 1
"""Intents are committed one batch after the other, and the next gathers meanwhile."""

CONTROL_THREADS = 4
"""Statements of the control plane that read or change a few rows: who asks, a key, a budget."""

REPORT_THREADS = 4
"""Reports that may be read at once: each may take as long as there are rollups or records."""

PASSWORD_THREADS = 1
"""A password takes as long as thousands of tokens: who guesses many delays sign-ins alone."""

EXPORT_THREADS = 2
"""Files of tables that may be written at once; each takes as long as it has rows."""

_control: _Pools = WeakKeyDictionary()
_report: _Pools = WeakKeyDictionary()
_export: _Pools = WeakKeyDictionary()
_intent: _Pools = WeakKeyDictionary()
_password: _Pools = WeakKeyDictionary()
_disk: _Pools = WeakKeyDictionary()
_counting: _Pools = WeakKeyDictionary()
_sql: _Pools = WeakKeyDictionary()
"""By event loop: made at first use, so after the server has forked."""


def on_counting_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, CPU work without greenlets in it, while other requests go on."""
    return _run(_counting, COUNTING_THREADS, call, args)


def on_sql_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which asks the database for the paid path: drivers hold up their thread.

    The control plane has pools of its own: however many look at reports, policies are loaded.
    """
    return _run(_sql, SQL_THREADS, call, args)


def on_control_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which asks the database for the control plane, and for a few rows."""
    return _run(_control, CONTROL_THREADS, call, args)


def on_report_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which reads a report: a key can be revoked while many are read."""
    return _run(_report, REPORT_THREADS, call, args)


def on_intent_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which writes intents: no other statement may keep them waiting."""
    return _run(_intent, INTENT_THREADS, call, args)


def on_password_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which hashes a password: counting for requests goes on beside it."""
    return _run(_password, PASSWORD_THREADS, call, args)


def on_disk_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which waits for a disk."""
    return _run(_disk, DISK_THREADS, call, args)


def on_export_thread(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which makes a file or a piece of one out of what the database has."""
    return _run(_export, EXPORT_THREADS, call, args)


def _run(pools: _Pools, size: int, call: Callable[..., _T], args: tuple[Any, ...]) -> _T:
    hub = gevent.get_hub()
    pool = pools.get(hub)
    if pool is None:
        pool = pools[hub] = ThreadPool(size, hub=hub)
    ended: _Ended[_T] = pool.apply(_Ended, (call, args))
    if ended.error is not None:
        raise ended.error
    return ended.result


class _Ended(Generic[_T]):
    """What a call returned or raised: gevent prints what it sees raised in a thread."""

    error: Exception | None = None
    result: _T

    def __init__(self, call: Callable[..., _T], args: tuple[Any, ...]) -> None:
        try:
            self.result = call(*args)
        except Exception as error:
            self.error = error
