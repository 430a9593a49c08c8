"""A TCP proxy that breaks connections on purpose: what networks do, at the word of a test.

Its faults hold for all connections, open and new, until it is told to pass again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    """What happens to bytes and connections."""

    PASS = "pass"
    BLACK_HOLE = "black-hole"
    """Nothing goes through in either direction; what was sent arrives once this is over, as
    after a network that lost packets for a while."""
    RESET = "reset"
    """Open connections are reset now, new ones once they are made."""
    DELAY = "delay"
    """Every piece is late."""
    CUT_REQUEST = "cut-request"
    """So many more bytes reach the server, then the connection is reset."""
    CUT_REPLY = "cut-reply"
    """The same towards the client."""
    HALF_OPEN = "half-open"
    """Requests go through, replies vanish: what was asked for happens, and nobody is told."""


@dataclass(frozen=True)
class Fault:
    """A mode with its amount: seconds of a delay, bytes before a cut."""

    mode: Mode = Mode.PASS
    amount: float = 0.0


PASS = Fault()
Target = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    left: float = 0.0
    """Bytes that may still pass before a cut."""
    deaf: bool = False
    """A reply of it has vanished, so that nothing more can be read from it."""

    def reset(self) -> None:
        """End both sides at once, without a goodbye."""
        for writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class FaultProxy:
    """Listens on a loopback port of its own and passes everything on to ``target``."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._fault = PASS
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def set(self, mode: Mode, amount: float = 0.0) -> None:
        """From now on, do this to all connections."""
        self._do(self._set(Fault(mode, amount)))

    def close(self) -> None:
        """Reset everything and stop listening."""
        self._do(self._set(Fault(Mode.RESET)))
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        self._open.set()
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)

    async def _stop(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _set(self, fault: Fault) -> None:
        self._fault = fault
        for link in list(self._links):
            link.left = fault.amount
            if link.deaf or fault.mode is Mode.RESET:
                link.reset()
        if fault.mode is Mode.BLACK_HOLE:
            self._open.clear()
        else:
            self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self.target, str):
                back, server = await asyncio.open_unix_connection(self.target)
            else:
                back, server = await asyncio.open_connection(*self.target)
        except OSError:
            client.transport.abort()
            return
        link = _Link(client, server, self._fault.amount)
        if self._fault.mode is Mode.RESET:
            link.reset()
            return
        self._links.add(link)
        pumps = [self._pump(link, reader, server, Mode.CUT_REQUEST)]
        pumps.append(self._pump(link, back, client, Mode.CUT_REPLY))
        try:
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._links.discard(link)
            for writer in (client, server):
                writer.close()

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, cut: Mode
    ) -> None:
        """Pass on what comes in one direction, which ``cut`` can cut off."""
        try:
            while data := await source.read(_CHUNK):
                await self._open.wait()
                fault = self._fault
                if fault.mode is Mode.DELAY:
                    await asyncio.sleep(fault.amount)
                elif fault.mode is Mode.HALF_OPEN and cut is Mode.CUT_REPLY:
                    link.deaf = True
                elif fault.mode is cut:
                    passed, link.left = data[: int(link.left)], link.left - len(data)
                    sink.write(passed)
                    if link.left <= 0:
                        await sink.drain()
                        link.reset()
                        return
                    continue
                if not (link.deaf and cut is Mode.CUT_REPLY):
                    sink.write(data)
                    await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()
        except OSError:
            link.reset()
