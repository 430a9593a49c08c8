"""Asks the page itself: what measuring.js finds in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = Path(__file__).with_suffix(".js").read_text()


def measured(page: Page, what: str) -> Any:
    """What the function ``what`` of measuring.js says of the page."""
    return page.evaluate(f"() => {SOURCE}.{what}()")
