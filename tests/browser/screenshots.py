"""``make screenshots``: pictures of every page, and the few of them that the documents show.

The same deployment at the same moment every time: the gateway runs at a time of its own, with
weeks of history before it. Every page, in both sizes and both appearances, goes to
``build/screenshots``; what SHOWN names goes to ``docs/screenshots`` as well.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import time_machine
from playwright.sync_api import Browser, BrowserContext, Page

from gateway.core.roles import Role
from tests.browser.chromium import find, launched
from tests.browser.conftest import DESKTOP, PHONE, drawn
from tests.browser.deployment import Deployment, with_history
from tests.browser.pages import PAGES, Shown
from tests.browser.png import smaller
from tests.e2e.provider import ROOT, SimulatedProvider
from tests.e2e.rig import Rig
from tests.stores import temporary_redis

NOW = datetime(2026, 10, 22, 14, 40, tzinfo=UTC)
"""A Thursday afternoon in the second half of a month."""
SIZES = {"desktop": DESKTOP, "phone": PHONE}
THEMES = ("light", "dark")
EVERY = ROOT / "build/screenshots"
KEPT = ROOT / "docs/screenshots"
SHOWN = (
    "overview-desktop-light",
    "overview-desktop-dark",
    "overview-phone-light",
    "budgets-one-desktop-light",
    "budgets-phone-dark",
    "requests-one-desktop-light",
    "reconciliation-one-desktop-light",
)
"""Names of pictures that the documents show."""

_AT_ANOTHER_TIME = f"""
import runpy, time
import redis, time_machine
# Pages ask Redis what time it is, too.
redis.Redis.time = lambda self: divmod(int(time.time() * 1e6), 10**6)
time_machine.travel({NOW.timestamp()}, tick=True).start()
runpy.run_module("gateway.server", run_name="__main__", alter_sys=True)
"""


class RigAtNow(Rig):
    """A deployment for which it is NOW."""

    GATEWAY = ("-c", _AT_ANOTHER_TIME)


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """The deployment that is shown, ended with the context."""
    with ExitStack() as stack:
        url = stack.enter_context(temporary_redis())
        apart = folder / "provider"
        apart.mkdir()
        provider = SimulatedProvider(apart)
        stack.callback(provider.process.kill_group)
        stack.enter_context(time_machine.travel(NOW, tick=True))
        rig = RigAtNow(folder, provider, url, recorder="none", workers=1)
        stack.callback(rig.close)
        yield with_history(rig, NOW, days=75, per_day=90)


def pictures(browser: Browser, at: Deployment, pages: tuple[Shown, ...]) -> Iterator[str]:
    """Take every picture; yields the names."""
    for size, (width, height) in SIZES.items():
        for theme in THEMES:
            profiles: dict[Role | None, BrowserContext] = {}
            for shown in pages:
                if shown.role not in profiles:
                    profiles[shown.role] = _profile(browser, at, shown.role, width, height, theme)
                page = profiles[shown.role].new_page()
                page.goto(shown.path(at.places))
                drawn(page)
                name = f"{shown.name}-{size}-{theme}"
                _take(page, name)
                page.close()
                yield name
            for profile in profiles.values():
                profile.close()


def _profile(
    browser: Browser, at: Deployment, role: Role | None, width: int, height: int, theme: str
) -> BrowserContext:
    profile = browser.new_context(
        base_url=at.url,
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-US",
        timezone_id="UTC",
    )
    if role is not None:
        value = at.cookie(role)
        profile.add_cookies([{"name": "faregate_session", "value": value, "url": at.url}])
    return profile


def _take(page: Page, name: str) -> None:
    picture = page.screenshot(full_page=True, animations="disabled", caret="hide")
    (EVERY / f"{name}.png").write_bytes(picture)
    if name in SHOWN:
        # What fits a screen, so that it can be read where it is shown.
        first = page.screenshot(animations="disabled", caret="hide")
        (KEPT / f"{name}.png").write_bytes(smaller(first))


def main() -> None:
    """Take all pictures, or those of the pages whose names are given."""
    path = find()
    if path is None:
        sys.exit("Screenshots need a Chromium: install chromium, chromium-browser or Chrome.")
    EVERY.mkdir(parents=True, exist_ok=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    wanted = tuple(shown for shown in PAGES if not sys.argv[1:] or shown.name in sys.argv[1:])
    with (
        tempfile.TemporaryDirectory(prefix="faregate-") as folder,
        deployed(Path(folder)) as at,
        launched(path) as browser,
    ):
        for name in pictures(browser, at, wanted):
            sys.stdout.write(f"{name}\n")
    sys.stdout.write(f"All are in {EVERY.relative_to(ROOT)}.\n")


if __name__ == "__main__":
    main()
