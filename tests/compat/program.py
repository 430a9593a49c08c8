"""Programs for the Python SDK that run with its sync and with its async client.

A program is a generator: it yields each call's result, which is the answer itself from the
sync client and something to await from the async one, and is sent the answer back. So each
program is written once.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Generator
from typing import Any

import openai

Program = Generator[Any, Any, None]
Call = Callable[[Any], Program]
"""What one row of the table does, given a client of the SDK."""

POLL_SECONDS = 0.05
"""Objects of the provider tell nobody that they change, so they are asked this often."""
WAIT_SECONDS_MAX = 30.0


def run_sync(program: Program) -> None:
    """Run a program whose results are the answers."""
    try:
        sent = next(program)
        while True:
            sent = program.send(sent)
    except StopIteration:
        return


async def run_async(program: Program) -> None:
    """Run a program whose results are awaited; an API error is raised where the call stands."""
    try:
        step = next(program)
        while True:
            try:
                answer = await step if inspect.isawaitable(step) else step
            except openai.APIError as error:
                step = program.throw(error)
            else:
                step = program.send(answer)
    except StopIteration:
        return


def every(stream: Any) -> Any:
    """All events of a stream, or all entries of a list on all its pages."""
    if not hasattr(stream, "__aiter__"):
        return list(stream)

    async def read() -> list[Any]:
        return [event async for event in stream]

    return read()


def final(manager: Any, method: str) -> Any:
    """What ``method`` of a streaming context answers once the stream has ended."""
    if not hasattr(manager, "__aenter__"):
        with manager as stream:
            return getattr(stream, method)()

    async def read() -> Any:
        async with manager as stream:
            return await getattr(stream, method)()

    return read()


def pause(sdk: Any) -> Any:
    """A moment between two looks at an object."""
    if isinstance(sdk, openai.AsyncOpenAI):
        return asyncio.sleep(POLL_SECONDS)
    return time.sleep(POLL_SECONDS)


def until(sdk: Any, fetch: Callable[[], Any], *ends: str) -> Generator[Any, Any, Any]:
    """The object that ``fetch`` answers, once its status is one of ``ends``."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        found = yield fetch()
        if found.status in ends:
            return found
        assert time.monotonic() < deadline, found
        yield pause(sdk)


def gone(call: Callable[[], Any]) -> Generator[Any, Any, None]:
    """Make a call that must be answered with 404."""
    try:
        yield call()
    except openai.NotFoundError:
        return
    raise AssertionError("a deleted object is still there")
