"""A tab that is watched: whatever a reader would find broken, though no assertion looks at it.

A message of an error, a script that throws, a style or script that the content security policy
refuses, a request that fails or goes to another host: each makes the test fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, Response

# Every answer from 400 up makes the browser write this; the answer itself is judged instead.
_OF_AN_ANSWER = "Failed to load resource"
# What a page was waiting for when it was left, and what became a download.
_LEFT = "net::ERR_ABORTED"


@dataclass
class Watch:
    """What went wrong in one tab. ``allowed`` are statuses that the test asks for."""

    page: Page
    host: str
    problems: list[str] = field(default_factory=list)
    allowed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    @contextmanager
    def expecting(self, *statuses: int) -> Iterator[None]:
        """Within this, answers of these statuses are what the test is about."""
        self.allowed |= set(statuses)
        yield
        self.allowed -= set(statuses)

    def check(self) -> None:
        """Fail with what went wrong."""
        assert not self.problems, f"at {self.page.url}: {self.problems}"

    def _console(self, message: ConsoleMessage) -> None:
        refused = "Content Security Policy" in message.text
        if refused or (message.type == "error" and not message.text.startswith(_OF_AN_ANSWER)):
            self.problems.append(f"{message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != _LEFT:
            self.problems.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        url = urlsplit(response.url)
        if url.scheme in ("http", "https") and url.netloc != self.host:
            self.problems.append(f"another host: {response.url}")
        if response.status >= 400 and response.status not in self.allowed:
            self.problems.append(f"{response.status}: {response.request.method} {response.url}")
