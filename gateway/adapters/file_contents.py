"""Contents of the provider's files, read by the gateway itself to bound what uses them.

A content goes to disk as it arrives and is read from there line by line on a native thread, so
that neither its size nor the time it takes to count holds up other requests.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import IO, TypeVar

from gevent.lock import BoundedSemaphore

from gateway.adapters.threads import on_counting_thread
from gateway.adapters.upstream import Upstream, UpstreamError
from gateway.core.errors import BadRequest, UpstreamUnreachable

AT_ONCE = 1
"""Contents that one process counts at the same time; more wait. They must not take all of the
threads that count: a long prompt would wait for a batch of 200 MB."""
IN_MEMORY_BYTES = 1024 * 1024

_T = TypeVar("_T")


class FileContents:
    """Downloads contents for greenlets, and reads them where it blocks nobody."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._counting = BoundedSemaphore(AT_ONCE)

    def download(self, file_id: str, bytes_max: int, param: str) -> IO[bytes]:
        """The content of a file, at its start; gone with the last reference to it.

        Raises BadRequest, naming ``param``, where it is larger than ``bytes_max`` or the
        provider does not give it, and UpstreamUnreachable.
        """
        # Closed, and so removed, with the last reference to it: the request's end.
        kept: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+b")  # noqa: SIM115
        request_id = f"fgc_{os.urandom(12).hex()}"
        path = f"/files/{file_id}/content"
        try:
            answer = self._upstream.send(path, None, request_id, {}, method="GET", accept="*/*")
            if answer.status != 200:
                answer.abandon()
                raise BadRequest(
                    f"The provider does not give the content of {file_id} (status"
                    f" {answer.status}), so what it would cost cannot be bounded.",
                    param=param,
                )
            size = 0
            while data := answer.some(self._upstream.read_seconds):
                size += len(data)
                if size > bytes_max:
                    answer.abandon()
                    raise BadRequest(
                        f"The file {file_id} is larger than {bytes_max:,} bytes.", param=param
                    )
                kept.write(data)
        except UpstreamError as error:
            raise UpstreamUnreachable(
                f"The content of {file_id} could not be read from the provider; nothing was"
                f" begun and nothing is charged ({error}). Try again shortly."
            ) from None
        kept.seek(0)
        return kept

    def read(self, content: IO[bytes], reader: Callable[[IO[bytes]], _T]) -> _T:
        """What ``reader`` makes of ``content``, on a native thread. Raises as it does."""
        with self._counting:
            content.seek(0)
            return on_counting_thread(reader, content)
