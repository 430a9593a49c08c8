"""Without a mouse: all is reached in the order it is read, seen when it is, and closes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from gateway.core.roles import Role
from tests.browser.conftest import PHONE, Tabs, drawn
from tests.browser.deployment import PASSWORD, PEOPLE, Deployment
from tests.browser.measuring import measured

CONTROLS = ("A", "BUTTON", "INPUT", "SELECT", "TEXTAREA", "SUMMARY")


def walk(page: Page, steps: int = 400) -> list[dict[str, object]]:
    """What has the focus at each press of Tab, until it leaves the page or comes round."""
    found: list[dict[str, object]] = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        at = measured(page, "focused")
        if at["tag"] == "BODY" or (found and at == found[0]):
            return found
        found.append(at)
    raise AssertionError("Tab does not come to an end")


def test_signing_in_by_keys_alone(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment)
    page.goto("/sign-in?next=/teams")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(PEOPLE[Role.ADMIN][0])
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/teams$"))


@pytest.mark.parametrize("path", ["/", "/teams", "/requests", "/budgets/new", "/people"])
def test_every_control_is_reached_and_its_focus_is_seen(
    deployment: Deployment, tabs: Tabs, path: str
) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto(path)
    drawn(page)
    found = walk(page)
    assert found[0]["name"] == "Skip to content"
    assert [at for at in found if not at["outline"]] == []
    assert [at for at in found if not at["seen"]] == []
    assert [at for at in found if at["covered"]] == []
    # The menu first, then the page, and never back.
    inside = [bool(at["main"]) for at in found]
    assert inside == sorted(inside)
    reached = [at for at in found if at["main"] and at["tag"] in CONTROLS]
    assert len(reached) == measured(page, "reachable")


def test_the_first_stop_skips_the_menu(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/teams")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    assert measured(page, "focused")["main"] is True


def test_a_menu_opens_by_enter_and_closes_by_escape(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/")
    for label in ("Filter", "Export", PEOPLE[Role.ADMIN][0]):
        summary = page.locator("summary", has_text=label)
        menu = page.locator("details.menu", has=summary)
        summary.focus()
        page.keyboard.press("Enter")
        expect(menu).to_have_attribute("open", "")
        page.keyboard.press("Tab")
        assert menu.evaluate("(menu) => menu.contains(document.activeElement)")
        page.keyboard.press("Escape")
        expect(menu).not_to_have_attribute("open", "")
        expect(summary).to_be_focused()


def test_the_drawer_of_a_phone_closes_by_escape(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN, size=PHONE)
    page.goto("/")
    opener = page.get_by_role("button", name="Open the menu")
    expect(page.locator("#sidebar")).not_to_be_visible()
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sidebar")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.locator("#sidebar").evaluate("(it) => it.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).not_to_be_visible()
    expect(opener).to_be_focused()


def test_a_table_is_sorted_by_keys(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/teams")
    head = page.locator("th[data-key=requests]")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    cells = page.locator("td[data-label=Requests]")
    counts = [int(text) for text in cells.evaluate_all("(all) => all.map((it) => it.dataset.sort)")]
    assert counts == sorted(counts, reverse=True)
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")


def test_a_form_with_errors_says_so_and_keeps_what_was_typed(
    deployment: Deployment, tabs: Tabs
) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/budgets/new")
    page.get_by_label("Name").fill("a budget")
    page.get_by_label("Limit, in $").fill("a lot")
    with tabs.watch(page).expecting(422):
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Nothing is saved yet")
    limit = page.get_by_label("Limit, in $")
    expect(limit).to_have_value("a lot")
    expect(limit).to_have_attribute("aria-invalid", "true")
    described = limit.get_attribute("aria-describedby")
    assert described is not None
    expect(page.locator(f"#{described.split()[-1]}")).to_contain_text("dollars")
