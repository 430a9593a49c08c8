"""Every page by axe-core's rules (WCAG A and AA, best practices), in both sizes and themes.

And what axe cannot see: pages as narrow as a small phone and as wide as a large screen, text at
twice its size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import CDPSession, Page

from tests.browser.conftest import DESKTOP, PHONE, drawn
from tests.browser.measuring import measured
from tests.browser.pages import PAGES, Shown
from tests.browser.watched import Watch

WIDTHS = (320, 390, 768, 1440, 2560)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
Look = Callable[[Shown], Watch]
BY_NAME = pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)


def violations(page: Page, axe: str) -> list[Any]:
    """What axe finds. It comes in by the protocol of the browser's developer tools, since the
    page's own policy lets no script of others in."""
    if not page.evaluate("() => 'axe' in window"):
        session: CDPSession = page.context.new_cdp_session(page)
        session.send("Runtime.evaluate", {"expression": axe})
        session.detach()
    found = measured(page, "violations")
    assert found["kept"] > 10, "axe looked at nothing"
    return list(found["violations"])


@pytest.mark.timeout(240)
@BY_NAME
def test_axe_finds_no_violation(look: Look, axe: str, shown: Shown) -> None:
    page = look(shown).page
    found = {}
    for width, height in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            drawn(page)
            found[width, theme] = violations(page, axe)
    assert {view: rules for view, rules in found.items() if rules} == {}


@BY_NAME
def test_no_width_scrolls_sideways(look: Look, shown: Shown) -> None:
    page = look(shown).page
    too_wide = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        drawn(page)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        if wide > width:
            too_wide[width] = wide
        assert measured(page, "overlapping") == [], f"controls overlap at {width}"
        assert measured(page, "cutOff") == [], f"text is cut off at {width}"
    assert too_wide == {}


@BY_NAME
def test_text_at_twice_its_size_is_all_there(look: Look, shown: Shown) -> None:
    """WCAG 2.2, 1.4.4: up to 200 %, without loss of content or function."""
    page = look(shown).page
    page.set_viewport_size({"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    try:
        assert page.evaluate("() => getComputedStyle(document.documentElement).fontSize") == "32px"
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280
        assert measured(page, "cutOff") == []
        assert measured(page, "overlapping") == []
    finally:
        session.send("Page.setFontSizes", {"fontSizes": {"standard": 16, "fixed": 13}})
        session.detach()


def test_axe_finds_what_is_wrong(look: Look, axe: str) -> None:
    page = look(Shown("/teams/new")).page
    page.evaluate("() => { document.querySelector('label[for=name]').remove() }")
    assert "label" in [rule for rule, *_ in violations(page, axe)]
