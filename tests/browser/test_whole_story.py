"""From signing in to signing out, by clicking and typing, with OpenAI's own client in between.

One story in the order in which a platform engineer would live it; what its figures say is held
against what is recorded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import duckdb
import openai
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from gateway.adapters.tables import clients, usage_records
from gateway.core.money import NANO_PER_USD, display_usd
from gateway.core.roles import Role
from tests.browser.conftest import TIMEOUT_MS, Tabs, drawn
from tests.browser.deployment import PASSWORD, PEOPLE, Deployment, rows_of
from tests.browser.watched import Watch
from tests.e2e.provider import until

MODEL = "gpt-4o-mini"
LIMIT = "0.0005"

expect.set_options(timeout=TIMEOUT_MS)


@dataclass
class Story:
    """Who acts, where, and what has happened so far."""

    at: Deployment
    page: Page
    watch: Watch
    team: str
    client: str
    budget: str
    secret: str = ""
    requests: list[str] = field(default_factory=list)

    @property
    def client_id(self) -> int:
        query = select(clients.c.id).where(clients.c.name == self.client)
        with self.at.rig.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def button(self, name: str) -> None:
        """Click a button of this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def link(self, name: str, *, within: str = "main") -> None:
        """Follow the link of this name."""
        self.page.locator(within).get_by_role("link", name=name, exact=True).first.click()

    def ask(self, secret: str | None = None) -> str:
        """Send one request by OpenAI's client; returns its id."""
        with self.at.sdk(secret or self.secret) as sdk:
            answer = sdk.chat.completions.with_raw_response.create(
                model=MODEL,
                messages=[{"role": "user", "content": f"Why is the sky blue? {uuid4().hex}"}],
                max_completion_tokens=100,
            )
        return str(answer.headers["x-faregate-request-id"])

    def works(self, secret: str) -> bool:
        """Whether a key is let in; what the budget says is another matter."""
        try:
            self.ask(secret)
        except openai.AuthenticationError:
            return False
        except openai.RateLimitError:
            pass
        return True

    def recorded_nano(self) -> int:
        """What the client's requests have cost, by the records."""
        self.at.rig.drain()
        query = select(usage_records.c.cost_nano).where(usage_records.c.client_id == self.client_id)
        with self.at.rig.engine.connect() as connection:
            return sum(connection.execute(query).scalars())


@pytest.mark.timeout(300)
def test_the_whole_story(deployment: Deployment, tabs: Tabs, tmp_path: Path) -> None:
    page = tabs.open(deployment, permissions=["clipboard-read", "clipboard-write"])
    mark = uuid4().hex[:6]
    story = Story(
        deployment, page, tabs.watch(page), f"maps-{mark}", f"tiles-{mark}", f"tiles-budget-{mark}"
    )
    sign_in(story)
    make_team_and_client(story)
    make_budget(story)
    make_key(story)
    send_and_see(story)
    open_the_request(story)
    hit_the_budget(story)
    rotate_and_revoke(story)
    export_requests(story, tmp_path)
    sign_out(story)


def sign_in(story: Story) -> None:
    page = story.page
    page.goto("/budgets")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    page.get_by_label("E-mail address").fill(PEOPLE[Role.ADMIN][0])
    page.get_by_label("Password").fill("not the password")
    with story.watch.expecting(401):
        story.button("Sign in")
        expect(page.get_by_role("alert")).to_contain_text("password is wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(page).to_have_url(f"{story.at.url}/budgets")


def make_team_and_client(story: Story) -> None:
    page = story.page
    story.link("Teams", within="nav[aria-label=Pages]")
    story.link("New team")
    page.get_by_label("Name").fill(story.team)
    story.button("Make the team")
    expect(page.get_by_role("status")).to_contain_text(story.team)
    expect(page.locator("h1")).to_have_text(story.team)
    story.link("New client")
    page.get_by_label("Name").fill(story.client)
    expect(page.get_by_label("Team")).to_contain_text(story.team)
    page.get_by_label("Models that it may use").fill("gpt-4o*")
    page.get_by_label("Requests per minute").fill("many")
    with story.watch.expecting(422):
        story.button("Make the client")
        expect(page.get_by_text("Write a whole number from 0 up.")).to_be_visible()
    expect(page.get_by_label("Requests per minute")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Requests per minute").fill("600")
    story.button("Make the client")
    expect(page.locator("h1")).to_have_text(story.client)
    expect(page.get_by_role("status")).to_contain_text("Next it needs a key")


def make_budget(story: Story) -> None:
    page = story.page
    story.link("Budgets", within="nav[aria-label=Pages]")
    story.link("New budget")
    page.get_by_label("Name").fill(story.budget)
    page.get_by_label("On", exact=True).select_option(
        label=f"Client {story.client} of {story.team}"
    )
    page.get_by_label("Limit, in $").fill(LIMIT)
    page.get_by_label("For", exact=True).select_option("day")
    story.button("Make the budget")
    expect(page.locator("h1")).to_have_text(story.budget)
    expect(page.get_by_role("status")).to_contain_text("in force")


def make_key(story: Story) -> None:
    page = story.page
    story.link(f"Client {story.client}")
    story.link("New key")
    page.get_by_label("What it is for").fill("browser")
    story.button("Make the key")
    secret = page.locator("#secret")
    expect(secret).to_have_text(re.compile("^fg-"))
    story.secret = secret.inner_text()
    story.button("Copy the secret")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == story.secret
    story.link(f"Back to {story.client}")
    # Nowhere after that.
    expect(page.locator("h1")).to_have_text(story.client)
    expect(page.get_by_role("row", name=re.compile("browser"))).to_contain_text("fg-")
    assert story.secret not in page.content()


def send_and_see(story: Story) -> None:
    page = story.page
    until(lambda: story.works(story.secret), 10, "the new key to be known")
    story.requests = [story.ask() for _ in range(2)]
    cost = display_usd(story.recorded_nano())
    page.goto("/?range=24h")
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Team", exact=True).select_option(label=story.team)
    story.button("Apply")
    expect(page.locator(".chip", has_text=story.team)).to_be_visible()
    expect_spend(story, cost)
    # The next request is seen without a reload.
    story.requests.append(story.ask())
    expect_spend(story, display_usd(story.recorded_nano()))
    cost = display_usd(story.recorded_nano())
    page.goto(f"/clients/{story.client_id}?range=24h")
    expect_spend(story, cost)
    story.link("Requests")
    for request in story.requests:
        expect(page.locator(f"a[href='/requests/{request}']")).to_be_visible()


def expect_spend(story: Story, cost: str) -> None:
    """The page's total is ``cost``, its chart is drawn."""
    shown = story.page.locator("#spend .stat-hero .stat-value")
    expect(shown).to_have_attribute("title", cost)
    drawn(story.page)


def open_the_request(story: Story) -> None:
    page, request = story.page, story.requests[0]
    page.locator(f"a[href='/requests/{request}']").click()
    expect(page.locator("h1")).to_have_text(request)
    cost = display_usd(story.at.rig.record(request).cost_nano)
    bill = page.get_by_role("group", name="Lines of the bill, request")
    expect(bill.get_by_role("row", name=re.compile("^input"))).to_be_visible()
    expect(bill.get_by_role("row", name=re.compile("^output"))).to_be_visible()
    expect(bill.locator("tr.sum")).to_contain_text(cost)
    lines = bill.locator("tbody tr:not(.sum) td:last-child").all_inner_texts()
    summed = sum(Decimal(re.sub(r"[^\d.]", "", text)) for text in lines)
    assert summed == Decimal(cost.removeprefix("$"))
    expect(page.get_by_role("link", name=story.budget)).to_be_visible()


def hit_the_budget(story: Story) -> None:
    page = story.page
    refused = None
    for _ in range(60):
        try:
            story.requests.append(story.ask())
        except openai.RateLimitError as error:
            refused = error
            break
    assert refused is not None, "the budget never refused"
    assert refused.code == "insufficient_quota"
    story.link(story.budget)
    expect(page.locator("h1")).to_have_text(story.budget)
    spent = display_usd(story.recorded_nano())
    until(lambda: refusals(story) == 1, 20, "the refusal to be counted")
    page.reload()
    expect(page.locator("#window")).to_contain_text("Spent")
    expect(page.locator("#window [title]").first).to_be_visible()
    exact = Decimal(LIMIT) - Decimal(spent.removeprefix("$"))
    left = page.locator("#window .stat-hero .stat-value")
    expect(left).to_have_attribute("title", re.compile(re.escape(f"${exact.normalize():f}")))
    row = page.locator("#recent-refusals").get_by_role("row", name=re.compile(story.client))
    expect(row.locator("td").last).to_have_text("1")


def refusals(story: Story) -> int:
    """How many refusals the page of the client's budget counts."""
    story.page.reload()
    texts = story.page.locator("#recent-refusals tbody td:last-child").all_inner_texts()
    return sum(int(text) for text in texts)


def rotate_and_revoke(story: Story) -> None:
    page, old = story.page, story.secret
    page.goto(f"/clients/{story.client_id}")
    story.link("Rotate")
    page.get_by_label("The old key works on for").select_option("1h")
    story.button("Rotate the key")
    new = page.locator("#secret").inner_text()
    assert new != old
    until(lambda: story.works(new), 10, "the new key to be known")
    assert story.works(old), "the old key works on"
    story.link(f"Back to {story.client}")
    rows = page.locator("#keys tbody tr")
    expect(rows).to_have_count(2)
    row = page.locator("#keys tbody tr", has_text=old[-4:])
    row.get_by_role("link", name="Revoke").click()
    expect(page.locator("h1")).to_contain_text("Revoke")
    story.button("Revoke the key")
    expect(page.get_by_role("status")).to_contain_text("is revoked")
    expect(page.locator("#keys tbody tr", has_text=old[-4:])).to_contain_text("revoked")
    until(lambda: not story.works(old), 10, "the old key to be refused")
    assert story.works(new)


def export_requests(story: Story, folder: Path) -> None:
    page, cost = story.page, story.recorded_nano()
    page.goto(f"/requests?range=24h&client={story.client}")
    saved = {kind: download(story, kind, folder) for kind in ("CSV", "Parquet")}
    rows = rows_of(saved["CSV"])
    assert {row["request_id"] for row in rows} >= set(story.requests)
    assert summed(rows) == cost
    query = f"SELECT count(*), sum(cost_nano) FROM '{saved['Parquet']}'"
    assert duckdb.connect().execute(query).fetchone() == (len(rows), cost)
    page.goto(f"/clients/{story.client_id}?range=24h")
    spend = rows_of(download(story, "CSV", folder))
    assert summed(spend) == cost
    assert sum(int(row["requests"]) for row in spend) == len(rows)


def summed(rows: list[dict[str, str]]) -> int:
    """The sum of the costs, which stand there in dollars and in nano-dollars."""
    nano = sum(int(row["cost_nano"]) for row in rows)
    assert sum(Decimal(row["cost_usd"]) for row in rows) * NANO_PER_USD == nano
    return nano


def download(story: Story, kind: str, folder: Path) -> Path:
    """What the export menu gives."""
    page = story.page
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name=kind, exact=True).click()
    name = waiting.value.suggested_filename
    assert re.fullmatch(rf"faregate-[\w-]+-\d{{4}}-\d\d-\d\d\.{kind.lower()}", name)
    path = folder / name
    waiting.value.save_as(path)
    return path


def sign_out(story: Story) -> None:
    page = story.page
    page.locator("summary", has_text=PEOPLE[Role.ADMIN][0]).click()
    story.button("Sign out")
    expect(page).to_have_url(f"{story.at.url}/sign-in")
    page.go_back()
    page.goto("/budgets")
    expect(page).to_have_url(re.compile("/sign-in"))
