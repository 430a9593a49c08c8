"""A real deployment, a real browser, and tabs that notice whatever is broken."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from gateway.core.roles import Role
    from tests.browser.deployment import Deployment
    from tests.browser.pages import Shown
    from tests.browser.watched import Watch
    from tests.e2e.provider import SimulatedProvider
    from tests.e2e.rig import Rig

DESKTOP = (1440, 900)
PHONE = (390, 844)
TIMEOUT_MS = 30_000
"""For whatever a test waits for; machines may be busy with other tests."""


DRAWN = """() => [...document.querySelectorAll('[data-chart]')].every((plot) => {
  const drawing = plot.querySelector('svg');
  return 'drawn' in plot.dataset && drawing && Math.abs(drawing.clientWidth - plot.clientWidth) < 2;
})"""


def drawn(page: Page) -> None:
    """Return once the page's scripts have run and all its charts are drawn, as wide as they are."""
    page.wait_for_load_state("load")
    page.wait_for_function(DRAWN)


@pytest.fixture(scope="session")
def new_rig(
    provider: SimulatedProvider, shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Rig]]:
    """Makes deployments whose recorder is a process too; they end with the test process."""
    from tests.browser.chromium import required
    from tests.e2e.rig import Rig

    required()
    with contextlib.ExitStack() as stack:

        def make() -> Rig:
            folder = tmp_path_factory.mktemp("rig")
            found = Rig(folder, provider, shared_redis_url, recorder="process", workers=1)
            stack.callback(found.close)
            return found

        yield make


@pytest.fixture(scope="session")
def deployment(new_rig: Callable[[], Rig]) -> Deployment:
    """A deployment with weeks of history, shared: tests make what they change themselves."""
    from tests.browser.deployment import with_history

    return with_history(new_rig())


@pytest.fixture(scope="session")
def empty_deployment(new_rig: Callable[[], Rig]) -> Deployment:
    """A deployment in which nothing has happened yet."""
    from tests.browser.deployment import Deployment

    return Deployment(new_rig())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of the tests of one file."""
    from tests.browser.chromium import launched, required

    with launched(required()) as found:
        yield found


@dataclass
class Tabs:
    """Opens tabs, each in a browser profile of its own, and closes them with the test."""

    browser: Browser
    watches: list[Watch]

    def open(
        self,
        at: Deployment,
        role: Role | None = None,
        *,
        size: tuple[int, int] = DESKTOP,
        theme: Any = "light",
        **context: Any,
    ) -> Page:
        """A tab at the deployment ``at``, signed in as somebody of ``role``."""
        from tests.browser.watched import Watch

        profile = self.browser.new_context(
            base_url=at.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            reduced_motion="reduce",
            locale="en-US",
            timezone_id="Europe/Berlin",
            **context,
        )
        profile.set_default_timeout(TIMEOUT_MS)
        if role is not None:
            cookie = {"name": "faregate_session", "value": at.cookie(role), "url": at.url}
            profile.add_cookies([cookie])  # type: ignore[list-item]
        page = profile.new_page()
        self.watches.append(Watch(page, at.host))
        return page

    def watch(self, page: Page) -> Watch:
        """What is noted of a tab."""
        return next(watch for watch in self.watches if watch.page is page)

    def close(self) -> None:
        """End all tabs, and fail where something was broken in one."""
        try:
            for watch in self.watches:
                watch.check()
        finally:
            for watch in self.watches:
                watch.page.context.close()


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """Tabs of one test."""
    found = Tabs(browser, [])
    yield found
    found.close()


@pytest.fixture(scope="module")
def profiles(browser: Browser) -> Iterator[Tabs]:
    """One profile for each role, for the tests of a file that only look: what pages need is
    fetched once."""
    found = Tabs(browser, [])
    yield found
    found.close()


@pytest.fixture(scope="module")
def look(deployment: Deployment, profiles: Tabs) -> Callable[[Shown], Watch]:
    """Opens a page in the tab of whoever looks at it."""
    made: dict[Role | None, Page] = {}

    def at(shown: Shown) -> Watch:
        if shown.role not in made:
            made[shown.role] = profiles.open(deployment, shown.role)
        page = made[shown.role]
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        page.emulate_media(color_scheme="light")
        answer = page.goto(shown.path(deployment.places))
        assert answer is not None
        assert answer.status == 200, page.url
        drawn(page)
        return profiles.watch(page)

    return at


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return (Path(__file__).parent / "vendor/axe.min.js").read_text()
