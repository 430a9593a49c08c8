"""Finance sees all and changes nothing, an owner one team; addresses of others do not open."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from gateway.core.roles import Role
from tests.browser.conftest import Tabs, drawn
from tests.browser.deployment import Deployment
from tests.browser.pages import PAGES

WRITING = re.compile(r"^(New |Edit|Rotate|Revoke|Remove|Set a price|Make |Save)")


def offers(page: Page) -> list[str]:
    """What the page offers to do that would change something."""
    names = page.locator("main").get_by_role("link").all_inner_texts()
    names += page.locator("main").get_by_role("button").all_inner_texts()
    return [name for name in names if WRITING.match(name.strip())]


def statuses(page: Page, tabs: Tabs, paths: list[str]) -> dict[str, int]:
    """What each address answers to whoever is signed in."""
    found = {}
    with tabs.watch(page).expecting(403, 404):
        for path in paths:
            answer = page.goto(path)
            assert answer is not None
            found[path] = answer.status
    return found


def test_administrators_are_offered_changes(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.ADMIN)
    places = deployment.places
    page.goto(f"/clients/{places['client_id']}")
    assert {"New key", "Edit", "Rotate", "Revoke"} <= set(map(str.strip, offers(page)))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/teams",
        "/teams/{team_id}",
        "/clients/{client_id}",
        "/budgets",
        "/budgets/{budget_id}",
        "/prices",
        "/alerts",
        "/requests/{request_id}",
    ],
)
def test_finance_sees_and_is_offered_no_change(
    deployment: Deployment, tabs: Tabs, path: str
) -> None:
    page = tabs.open(deployment, Role.FINANCE)
    answer = page.goto(path.format(**deployment.places))
    assert answer is not None
    assert answer.status == 200
    drawn(page)
    assert offers(page) == []


def test_forms_do_not_open_for_finance(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.FINANCE)
    forms = [
        shown.path(deployment.places)
        for shown in PAGES
        if re.search(r"/(new|edit|remove|rotate|revoke)$", shown.rule) or shown.rule == "/people"
    ]
    assert len(forms) > 15
    assert set(statuses(page, tabs, forms).values()) == {403}
    expect(page.locator("h1")).to_have_text("Not for you to see")


def test_finance_decides_about_a_bill(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.FINANCE)
    page.goto(f"/reconciliation/{deployment.places['reconciliation_id']}")
    expect(page.get_by_role("button", name="Approve and post")).to_be_visible()
    expect(page.get_by_role("button", name="Dismiss")).to_be_visible()


def test_an_owner_sees_the_own_team_alone(deployment: Deployment, tabs: Tabs) -> None:
    """And the organization's budgets, which bound the team too."""
    page = tabs.open(deployment, Role.OWNER)
    history = deployment.history
    assert history is not None
    page.goto("/")
    drawn(page)
    text = page.locator("body").inner_text()
    for name in ("ranker", "notebook", "research-monthly"):
        assert not re.search(rf"\b{name}\b", text), name
    assert "chatbot" in text
    page.goto("/budgets")
    names = {text.partition("\n")[0] for text in page.locator("tbody th").all_inner_texts()}
    assert names == {"organization", "support-monthly", "chatbot-daily"}
    page.goto("/requests?range=30d")
    shown = set(page.locator("tbody td:nth-child(2) .clip").all_inner_texts())
    assert shown == {"chatbot", "triage"}


def test_what_is_of_others_is_not_there_for_an_owner(deployment: Deployment, tabs: Tabs) -> None:
    page = tabs.open(deployment, Role.OWNER)
    history = deployment.history
    assert history is not None
    teams, clients, budgets = history.teams, history.clients, history.budgets
    others = [
        f"/teams/{teams['search']}",
        f"/teams/{teams['search']}/edit",
        f"/clients/{clients['ranker']}",
        f"/clients/{clients['ranker']}/edit",
        f"/clients/{clients['ranker']}/keys/new",
        f"/budgets/{budgets['research-monthly']}",
        f"/budgets/{budgets['research-monthly']}/edit",
        f"/budgets/{budgets['organization']}/edit",
    ]
    found = statuses(page, tabs, others)
    assert set(found.values()) <= {403, 404}, found
    unseen = statuses(
        page, tabs, ["/audit-log", "/health", "/people", "/alerts", "/reconciliation"]
    )
    assert set(unseen.values()) == {403}, unseen
    # A filter reaches no further either.
    page.goto("/requests?range=30d&client=ranker")
    expect(page.locator("tbody tr")).to_have_count(0)


def test_an_owner_changes_clients_and_not_the_team_or_its_budget(
    deployment: Deployment, tabs: Tabs
) -> None:
    page = tabs.open(deployment, Role.OWNER)
    places = deployment.places
    may = [f"/clients/{places['client_id']}/edit", f"/clients/{places['client_id']}/keys/new"]
    assert set(statuses(page, tabs, may).values()) == {200}
    may_not = [f"/teams/{places['team_id']}/edit", f"/budgets/{places['budget_id']}/edit"]
    assert set(statuses(page, tabs, may_not).values()) == {403}
    page.goto(f"/budgets/{places['budget_id']}")
    assert offers(page) == []
