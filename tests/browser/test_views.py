"""What a page keeps and shows: appearance, addresses to share, live figures, empty deployments."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from gateway.core.roles import Role
from tests.browser.conftest import Tabs, drawn
from tests.browser.deployment import PEOPLE, Deployment
from tests.browser.measuring import SOURCE, measured

GROUND = "() => getComputedStyle(document.body).backgroundColor"


def choose(page: Page, appearance: str) -> None:
    """Choose an appearance in the account's menu."""
    page.locator("summary", has_text=PEOPLE[Role.ADMIN][0]).click()
    page.get_by_role("button", name=appearance, exact=True).click()
    page.keyboard.press("Escape")


def test_the_appearance_stays_as_it_was_chosen(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN, theme="light")
    page.goto("/")
    drawn(page)
    light = page.evaluate(GROUND)
    choose(page, "Dark")
    dark = page.evaluate(GROUND)
    assert dark != light
    page.goto("/budgets")
    assert page.evaluate(GROUND) == dark
    page.reload()
    assert page.evaluate(GROUND) == dark
    choose(page, "As the system")
    assert page.evaluate(GROUND) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(GROUND) == dark


def test_a_chart_is_drawn_in_the_colours_of_its_theme(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/")
    drawn(page)
    light = measured(page, "chartColours")
    assert light
    choose(page, "Dark")
    page.wait_for_function(f"(old) => {SOURCE}.chartColours() !== old", arg=light)


@pytest.mark.parametrize(
    ("path", "marks"),
    [
        ("/", ("range", "group", "team")),
        ("/requests", ("range", "model")),
    ],
)
def test_an_address_shows_others_the_same_view(
    deployment: Deployment, tabs: Tabs, path: str, marks: tuple[str, ...]
) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto(path)
    page.get_by_role("navigation", name="Range of time").get_by_role("link", name="7").first.click()
    page.locator("summary", has_text="Filter").click()
    if path == "/":
        page.get_by_label("Team", exact=True).select_option(label="support")
    else:
        page.get_by_label("Model").fill("gpt-4o")
    page.locator("details.menu[open]").get_by_role("button", name="Apply").click()
    if path == "/":
        page.get_by_label("Group by").select_option("model")
        page.wait_for_url("**group=model**")
    expect(page.locator(".chip")).to_have_count(1)
    drawn(page)
    for mark in marks:
        assert f"{mark}=" in page.url
    other = tabs.open(deployment, Role.FINANCE)
    other.goto(page.url)
    drawn(other)
    seen = [
        tab.locator("main .chip, main [aria-current], main tbody, #spend").all_inner_texts()
        for tab in (page, other)
    ]
    assert seen[0] == seen[1]
    assert any(seen[0])


def test_a_new_request_is_seen_without_a_reload(deployment: Deployment, tabs: Tabs) -> None:
    tenant = deployment.rig.tenant()
    page = tabs.open(deployment, Role.ADMIN)
    page.goto(f"/requests?client={tenant.name}")
    expect(page.locator("tbody tr")).to_have_count(0)
    page.get_by_role("link", name="Follow live").click()
    expect(page.locator("[data-live-label]")).to_have_text("Live")
    page.evaluate("() => { window.neverReloaded = true }")
    reply = tenant.caller.chat(max_tokens=5)
    expect(page.locator(f"a[href='/requests/{reply.request_id}']")).to_be_visible()
    assert page.evaluate("() => window.neverReloaded") is True
    # Paused, nothing moves; resumed, all of it is there.
    page.locator("[data-live-button]").click()
    expect(page.locator("[data-live-label]")).to_have_text("Paused")
    second = tenant.caller.chat(max_tokens=5)
    deployment.rig.drain()
    page.locator("[data-live-button]").click()
    expect(page.locator(f"a[href='/requests/{second.request_id}']")).to_be_visible()
    page.get_by_role("link", name="Stop following").click()
    expect(page.locator("[data-live-button]")).to_have_count(0)


def test_a_live_page_of_who_is_signed_out_asks_to_sign_in(
    deployment: Deployment, tabs: Tabs
) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    page.goto("/health")
    with tabs.watch(page).expecting(401):
        page.context.clear_cookies()
        expect(page).to_have_url(re.compile(r"/sign-in\?next="))


# Nothing has happened yet


@pytest.mark.parametrize(
    ("path", "teaches"),
    [
        ("/", "faregate team create"),
        ("/teams", "faregate team create"),
        ("/budgets", "budget"),
        ("/requests", "curl"),
        ("/prices?own=1", "Set a price"),
        ("/reconciliation", "faregate reconcile"),
        ("/alerts", "channel"),
        ("/tags", "x-faregate-tags"),
    ],
)
def test_an_empty_page_says_what_to_do(
    empty_deployment: Deployment, tabs: Tabs, path: str, teaches: str
) -> None:
    page = tabs.open(empty_deployment, Role.ADMIN)
    page.goto(path)
    drawn(page)
    empty = page.locator(".empty").first
    expect(empty).to_be_visible()
    assert teaches in page.locator("main").inner_text()
    assert page.locator("main .empty-title").first.inner_text()


def test_a_command_is_copied(empty_deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(
        empty_deployment, Role.ADMIN, permissions=["clipboard-read", "clipboard-write"]
    )
    page.goto("/teams")
    command = page.locator(".command").first
    command.get_by_role("button", name="Copy the command").click()
    expect(command.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == command.locator("code").inner_text()


def test_what_is_not_there_says_so(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    with tabs.watch(page).expecting(404):
        for path in ("/teams/99999", "/requests/none", "/no-such-page"):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 404, path
            expect(page.locator("h1")).to_have_text("Nothing is here")
            expect(page.get_by_role("link", name="Back to the overview")).to_be_visible()
