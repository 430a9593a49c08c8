"""The browser of the tests: a Chromium of the machine, since Playwright's own is not installed.

Where there is none, tests are left out and say so; under ``CI=true`` they fail instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # tests may run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",  # letters as wide as on any other machine
)


def find() -> str | None:
    """The path of a Chromium, if the machine has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def required() -> str:
    """The path of a Chromium. Skips the test where there is none, and fails it under CI=true."""
    path = find()
    if path is None:
        reason = f"no browser is installed: looked for {', '.join(NAMES)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """A browser with a new profile, ended with the context.

    As long as it runs, the thread has an event loop, so nothing else there can start one: tests
    share a browser within a file and no further.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
