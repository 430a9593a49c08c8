"""The list of pages is complete, and every page opens without anything being broken in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.app import create_app
from gateway.core.roles import Role
from gateway.settings import Settings
from tests.browser.conftest import Tabs
from tests.browser.deployment import Deployment
from tests.browser.pages import NO_PAGES, PAGES, Shown
from tests.browser.watched import Watch
from tests.databases import open_migrated


def test_the_list_has_every_page_that_is_served(redis_url: str, sqlite_url: str) -> None:
    open_migrated(sqlite_url).dispose()
    app = create_app(Settings(redis_url=redis_url, database_url=sqlite_url))
    served = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not NO_PAGES.match(rule.rule)
    }
    assert {shown.rule for shown in PAGES} == served


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
def test_a_page_opens(look: Callable[[Shown], Watch], shown: Shown) -> None:
    watch = look(shown)
    watch.check()
    page = watch.page
    assert page.locator("h1").count() == 1
    assert page.title().endswith("· Faregate")
    assert page.locator("html").get_attribute("lang") == "en"


# The watch itself


def test_a_watch_notices_what_the_policy_refuses(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/teams/new")
    watch = tabs.watch(page)
    watch.check()
    for markup in (
        "<p style='color: red'>",
        "<script>1</script>",
        "<img src='http://127.0.0.9/x'>",
    ):
        page.evaluate(
            "(html) => document.body.append(document.createRange().createContextualFragment(html))",
            markup,
        )
        page.wait_for_function("() => true")
        assert watch.problems, markup
        assert "Content Security Policy" in watch.problems[0]
        watch.problems.clear()


def test_a_watch_notices_what_fails(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/teams/99999")
    page.evaluate("() => { setTimeout(() => { throw new Error('broken') }) }")
    page.evaluate("() => fetch('/static/none/none.js')")
    watch = tabs.watch(page)
    kinds = {text.partition(":")[0] for text in watch.problems}
    assert kinds == {"404", "script"}
    assert len(watch.problems) == 3
    watch.problems.clear()
