"""The same forms where no script runs: every link, form and menu is HTML."""

from __future__ import annotations

import re
from uuid import uuid4

from playwright.sync_api import Page, expect

from gateway.core.roles import Role
from tests.browser.conftest import Tabs
from tests.browser.deployment import PASSWORD, PEOPLE, Deployment


def test_from_signing_in_to_a_key_without_scripts(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, java_script_enabled=False)
    mark = uuid4().hex[:6]
    page.goto("/teams")
    page.get_by_label("E-mail address").fill(PEOPLE[Role.ADMIN][0])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="New team").click()
    page.get_by_label("Name").fill(f"plain-{mark}")
    page.get_by_role("button", name="Make the team").click()
    expect(page.get_by_role("status")).to_contain_text(f"plain-{mark}")
    page.get_by_role("link", name="New client").click()
    with tabs.watch(page).expecting(422):
        page.get_by_role("button", name="Make the client").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing is saved yet")
    page.get_by_label("Name").fill(f"plain-client-{mark}")
    page.get_by_role("button", name="Make the client").click()
    expect(page.locator("h1")).to_have_text(f"plain-client-{mark}")
    page.get_by_role("link", name="New key").first.click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator("#secret")).to_have_text(re.compile("^fg-"))
    expect(page.get_by_role("button", name="Copy the secret")).not_to_be_visible()
    budget(page, mark)
    page.locator("summary", has_text=PEOPLE[Role.ADMIN][0]).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))


def budget(page: Page, mark: str) -> None:
    """Make a budget, change it, remove it."""
    page.goto("/budgets/new")
    page.get_by_label("Name").fill(f"plain-budget-{mark}")
    page.get_by_label("Limit, in $").fill("12.50")
    page.get_by_role("button", name="Make the budget").click()
    expect(page.locator("h1")).to_have_text(f"plain-budget-{mark}")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Limit, in $").fill("25")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#window")).to_contain_text("of $25")
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("link", name="Remove the budget").click()
    page.get_by_role("button", name="Remove the budget").click()
    expect(page.get_by_role("status")).to_contain_text("is removed")


def test_charts_are_tables_and_filters_are_forms_without_scripts(
    deployment: Deployment, tabs: Tabs
) -> None:
    page = tabs.open(deployment, Role.ADMIN, java_script_enabled=False)
    page.goto("/?range=7d")
    expect(page.locator("[data-live-button]")).not_to_be_visible()
    page.locator("#spend-chart summary").click()
    assert page.locator("#spend-chart tbody tr").count() == 7
    page.get_by_label("Group by").select_option("model")
    page.locator("form", has=page.get_by_label("Group by")).get_by_role("button").click()
    expect(page).to_have_url(re.compile("group=model"))
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Team", exact=True).select_option(label="support")
    page.get_by_role("button", name="Apply").first.click()
    expect(page.locator(".chip", has_text="support")).to_be_visible()
