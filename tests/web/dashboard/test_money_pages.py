"""The pages about money over real records, for everybody who may or may not see them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.adapters import reports
from gateway.adapters.accounts import Accounts
from gateway.adapters.directory_changes import COMMAND_LINE
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.sessions import Sessions
from gateway.app import services_of
from gateway.core.reports import Selection, day_of, hour_after
from gateway.core.roles import Role
from gateway.web.cookies import SESSION_COOKIE
from gateway.web.dashboard.formats import usd
from tests.browser.history import History, make_history


@dataclass(frozen=True)
class World:
    app: Flask
    history: History
    now: datetime

    def signed_in(self, role: Role, team: str | None = None) -> FlaskClient:
        """A browser of somebody in ``role``."""
        engine = services_of(self.app).engine
        email = f"{role.value}-{team or 'all'}@acme.example"
        accounts = Accounts(engine)
        accounts.create(COMMAND_LINE, email, role, team=team)
        found = accounts.find(email)
        assert found is not None
        caller = self.app.test_client()
        caller.set_cookie(SESSION_COOKIE, Sessions(engine).begin(found[0], None, "password").cookie)
        return caller

    def team(self, name: str) -> str:
        return f"/teams/{self.history.teams[name]}"

    def client(self, name: str) -> str:
        return f"/clients/{self.history.clients[name]}"

    def budget(self, name: str) -> str:
        return f"/budgets/{self.history.budgets[name]}"


@pytest.fixture
def empty(make_app: Callable[[], Flask]) -> Flask:
    app = make_app()
    from gateway.adapters.directory import Directory

    Directory(services_of(app).engine).initialise("acme")
    return app


@pytest.fixture
def world(empty: Flask) -> World:
    at, now = services_of(empty), datetime.now(UTC)
    settings = at.gate.settings
    # Not the application's own, whose connection belongs to its greenlets.
    counters = RedisBudgets(
        connect(str(settings.redis_url), 3.0), RedisKeys(settings.redis_prefix), 60
    )
    return World(empty, make_history(at.engine, counters, now, days=36, per_day=12), now)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_every_page_is_shown_to_a_platform_engineer(world: World) -> None:
    caller = world.signed_in(Role.ADMIN)
    for path in (
        "/",
        "/?range=24h&group=model",
        "/?range=last-month&group=tag:feature&compare=none",
        "/?group=key&model=gpt-5&tag=env=production",
        "/teams",
        world.team("search"),
        world.client("ranker"),
        f"{world.client('ranker')}?group=key&range=7d",
        "/budgets",
        *(world.budget(name) for name in world.history.budgets),
    ):
        answer = caller.get(path)
        assert answer.status_code == 200, path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", answer.text), path
        for chart in re.findall(r'data-chart="([^"]+)"', answer.text):
            assert chart.startswith("{&#34;unit&#34;"), path


def test_the_overview_says_what_the_rollups_say(world: World) -> None:
    since = day_of(world.now) - timedelta(days=29)
    engine = services_of(world.app).engine
    total = reports.totals(engine, Selection(since, hour_after(world.now)))
    dearest = reports.grouped(engine, Selection(since, hour_after(world.now)), "team")[0]
    assert total.requests > 200
    text = text_of(world.signed_in(Role.FINANCE).get("/").text)
    assert f" {usd(total.cost_nano)} " in text
    assert f" {total.requests:,} " in text
    assert f" {dearest.name} {usd(dearest.sums.cost_nano)} " in text
    assert usd(total.cache_saved_nano) in text


def test_a_filter_and_a_range_change_the_sums(world: World) -> None:
    engine, caller = services_of(world.app).engine, world.signed_in(Role.ADMIN)
    week = Selection(
        day_of(world.now) - timedelta(days=6), hour_after(world.now), models=("gpt-5",)
    )
    wanted = reports.totals(engine, week)
    text = text_of(caller.get("/?range=7d&model=gpt-5").text)
    assert f" {usd(wanted.cost_nano)} " in text
    assert "Remove the filter Model gpt-5" in caller.get("/?range=7d&model=gpt-5").text


def test_a_live_update_is_the_content_and_no_filters(world: World) -> None:
    answer = world.signed_in(Role.ADMIN).get("/", headers={"HX-Request": "true"})
    assert "data-chart=" in answer.text
    assert "<html" not in answer.text
    assert 'name="group"' not in answer.text


def test_budgets_show_what_redis_counts(world: World) -> None:
    caller = world.signed_in(Role.ADMIN)
    budgets = text_of(caller.get("/budgets").text)
    assert re.search(r"research-monthly Team research, each month .*? Spent resets in", budgets)
    assert "Over the limit soft: requests go on" in budgets
    page = caller.get(world.budget("support-monthly")).text
    assert re.search(r"support-monthly", page)
    assert "Projected run-out" in page or "At the window" in page
    assert "Left of the limit" in page
    held = re.search(r"Held <span class=\"num strong\">(\$[\d.,]+)", page)
    assert held is not None
    assert held[1] != "$0.00"


def test_budgets_are_shown_without_redis_too(world: World) -> None:
    at = services_of(world.app)
    world_budget = world.budget("support-monthly")
    caller = world.signed_in(Role.ADMIN)
    at.budgets.redis.flushall()
    page = caller.get(world_budget)
    assert page.status_code == 200
    assert "what is held is not known" in page.text


# Who sees what


def test_an_owner_sees_the_own_team_alone(world: World) -> None:
    caller = world.signed_in(Role.OWNER, "support")
    overview = caller.get("/").text
    assert "chatbot" in overview
    for hidden in ("ranker", "notebook", "research-monthly", "evals-total"):
        assert hidden not in overview, hidden
    assert caller.get("/teams").headers["Location"] == world.team("support")
    assert caller.get(world.team("support")).status_code == 200
    assert caller.get(world.client("chatbot")).status_code == 200
    for path in (world.team("search"), world.client("ranker"), world.budget("research-monthly")):
        answer = caller.get(path)
        assert answer.status_code == 404, path
        assert "not yours to see" in answer.text
    budgets = caller.get("/budgets").text
    assert "support-monthly" in budgets
    assert "chatbot-daily" in budgets
    # It bounds the team as well.
    assert "organization" in budgets
    assert "search-monthly" not in budgets


def test_filters_of_other_teams_add_nothing_up(world: World) -> None:
    caller = world.signed_in(Role.OWNER, "support")
    other = world.history.teams["research"]
    for query in (f"team={other}", f"client={world.history.clients['notebook']}"):
        text = text_of(caller.get(f"/?{query}").text)
        assert "Nothing was spent in the last 30 days with these filters" in text, query


def test_a_client_sees_itself_by_its_key(world: World) -> None:
    caller = world.app.test_client()
    headers = {"Authorization": f"Bearer {world.history.keys['chatbot']}"}
    page = caller.get("/me", headers=headers)
    assert page.status_code == 200
    assert "My usage" in page.text
    assert "chatbot-daily" in page.text
    assert "triage" not in page.text
    assert caller.get("/", headers=headers).headers["Location"] == "/me"
    for path in ("/teams", world.team("support"), world.client("chatbot"), world.client("ranker")):
        assert caller.get(path, headers=headers).status_code == 403, path
    assert caller.get(world.budget("support-monthly"), headers=headers).status_code == 200
    assert caller.get(world.budget("search-monthly"), headers=headers).status_code == 404


def test_what_one_may_not_change_is_not_offered(world: World) -> None:
    reader = world.signed_in(Role.FINANCE)
    owner = world.signed_in(Role.OWNER, "support")
    for path in ("/teams", world.team("support"), world.client("chatbot"), "/budgets"):
        page = reader.get(path).text
        assert "/new" not in page, path
        assert "/edit" not in page, path
        assert "/revoke" not in page, path
    assert f"{world.client('chatbot')}/keys/new" in owner.get(world.client("chatbot")).text
    assert f"{world.team('support')}/edit" not in owner.get(world.team("support")).text


def test_nobody_signed_in_is_sent_to_sign_in_and_back(world: World) -> None:
    answer = world.app.test_client().get("/?range=7d")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in?next=%2F%3Frange%3D7d"


# Files


def test_a_view_as_a_file_adds_up_to_the_nano_dollar(world: World) -> None:
    caller = world.signed_in(Role.ADMIN)
    since = day_of(world.now) - timedelta(days=29)
    total = reports.totals(services_of(world.app).engine, Selection(since, hour_after(world.now)))
    for path in ("/?group=model", "/?group=tag:feature", "/?group=key", "/teams?"):
        answer = caller.get(f"{path}&format=csv")
        assert answer.content_type.startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert sum(int(row["cost_nano"]) for row in rows) == total.cost_nano, path
        assert sum(int(row["requests"]) for row in rows) == total.requests, path


def test_budgets_as_a_file(world: World) -> None:
    answer = world.signed_in(Role.ADMIN).get("/budgets?format=csv")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert set(rows) == set(world.history.budgets)
    support = rows["support-monthly"]
    left = int(support["limit_nano"]) - int(support["spent_nano"]) - int(support["held_nano"])
    assert int(support["left_nano"]) == left
    assert world.signed_in(Role.OWNER, "growth").get("/budgets?format=xls").status_code == 400


# Nothing yet


def test_empty_pages_teach(empty: Flask) -> None:
    world = World(empty, History({}, {}, {}, {}, 0), datetime.now(UTC))
    caller = world.signed_in(Role.ADMIN)
    overview = text_of(caller.get("/").text)
    assert "faregate team create search &amp;&amp; faregate client create ranker" in overview
    assert "/v1/chat/completions" in overview
    assert "faregate team create search" in text_of(caller.get("/teams").text)
    assert "faregate budget create" in text_of(caller.get("/budgets").text)


def test_a_team_without_clients_and_a_client_without_keys(empty: Flask) -> None:
    from gateway.adapters.directory import Directory

    directory = Directory(services_of(empty).engine)
    team = directory.create_team("new")
    world = World(empty, History({"new": team}, {}, {}, {}, 0), datetime.now(UTC))
    caller = world.signed_in(Role.ADMIN)
    assert "faregate client create NAME --team new" in caller.get(world.team("new")).text
    client = directory.create_client("new", "robot")
    page = caller.get(f"/clients/{client}").text
    assert page.count("faregate key create robot") >= 2
    assert caller.get("/teams/99").status_code == 404
    assert caller.get("/clients/99").status_code == 404
    assert caller.get("/budgets/99").status_code == 404


def test_an_unknown_page_is_a_page_for_browsers_alone(empty: Flask) -> None:
    caller = empty.test_client()
    chromium = "text/html,image/webp,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
    for accepted in ("text/html,*/*;q=0.8", chromium):
        page = caller.get("/no/such/page", headers={"Accept": accepted})
        assert (page.status_code, page.mimetype) == (404, "text/html")
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        program = caller.get("/no/such/page", headers=headers)
        assert (program.status_code, program.mimetype) == (404, "application/json")
    api = caller.get("/v1/no/such", headers={"Accept": "text/html"})
    assert api.mimetype == "application/json"
