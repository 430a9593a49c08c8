"""gunicorn's gevent worker, which when told to stop does not wait for idle connections.

The stock worker counts a keep-alive connection that nobody is using as one to be waited for,
so that a restart would take as long as clients keep their connections open.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

_CUT_SECONDS = 0.2


class _Idle:
    """The wait of one connection for its next request, at most the keep-alive time."""

    def __init__(self, waiting: set[_Idle], seconds: float) -> None:
        self._waiting = waiting
        self._timeout = gevent.Timeout(seconds)
        self._greenlet = gevent.getcurrent()

    def __enter__(self) -> _Idle:
        self._waiting.add(self)
        self._timeout.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        self._waiting.discard(self)
        self._timeout.close()
        return error is self._timeout

    def cut(self) -> None:
        """End the wait as if its time were over."""
        gevent.kill(self._greenlet, self._timeout)


class GreenWorker(GeventWorker):  # type: ignore[misc]
    """One gateway worker process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: set[_Idle] = set()

    def timeout_ctx(self) -> _Idle:
        """The context in which a connection waits for its next request."""
        return _Idle(self._waiting, self.cfg.keepalive)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop: finish what is running, and close what is idle."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._cut_idle)

    def _cut_idle(self) -> None:
        while True:
            # A request that is just arriving gets a moment to be read.
            gevent.sleep(_CUT_SECONDS)
            for idle in list(self._waiting):
                idle.cut()
