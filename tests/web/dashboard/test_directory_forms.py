"""Teams, clients, keys and budgets made and changed by forms, without scripts."""

from __future__ import annotations

import re

import pytest

from gateway.adapters import audit_log
from gateway.adapters.directory import Directory
from gateway.core.budgets import WindowKind
from gateway.core.policy import hash_key
from gateway.core.roles import Principal, Role
from tests.web.dashboard.visitor import Site, value_of, words

ANN = "user:admin@acme.example"


def newest(site: Site) -> audit_log.Entry:
    return audit_log.entries(site.engine, None, audit_log.Page(rows=1)).entries[0]


def test_a_deployment_is_set_up_by_forms_alone(any_site: Site) -> None:
    site, visitor = any_site, any_site.visitor()
    made = visitor.post("/teams/new", name="green", sharing="team")
    team_id = site.directory.require_team("green")
    assert made.headers["Location"] == f"/teams/{team_id}"
    made = visitor.post(
        "/clients/new",
        name="green-web",
        team=team_id,
        allowed_models="gpt-4o*\r\n\r\n o3 ",
        requests_per_minute="1,000",
        may_fine_tune="1",
        outage_allowance="$0.50",
    )
    client = site.directory.client("green-web")
    assert made.headers["Location"] == f"/clients/{client.id}"
    assert client.allowed_models == '["gpt-4o*", "o3"]'
    assert (client.requests_per_minute, client.tokens_per_minute) == (1000, 0)
    assert (client.may_fine_tune, client.clamp_output) == (True, False)
    assert client.outage_allowance_nano == 500_000_000
    shown = visitor.post(f"/clients/{client.id}/keys/new", 200, name="laptop", expires_days="90")
    secret = re.search(r'<code id="secret">(fg-[^<]+)</code>', shown.text)
    assert secret is not None
    assert f'data-copy="{secret[1]}"' in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    with site.engine.connect() as connection:
        query = f"SELECT count(*) FROM keys WHERE hash = '{hash_key(secret[1])}'"
        assert connection.exec_driver_sql(query).scalar_one() == 1
    made = visitor.post(
        "/budgets/new",
        name="green month",
        on=f"client:{client.id}",
        limit="250.50",
        window="month",
        time_zone="Europe/Berlin",
        enforcement="expected",
        model_pattern="gpt-4o*",
        tag="",
    )
    budget = site.directory.budget("green month")
    assert made.headers["Location"] == f"/budgets/{budget.id}"
    assert (budget.client_id, budget.limit_nano) == (client.id, 250_500_000_000)
    assert (budget.time_zone, budget.enforcement, budget.tag) == ("Europe/Berlin", "expected", None)
    entry = newest(site)
    assert (entry.actor, entry.action, entry.subject_name) == (ANN, "create", "green month")


@pytest.mark.parametrize(
    ("path", "fields", "at", "said"),
    [
        ("/teams/new", {"name": "", "sharing": "team"}, "name", "This is needed."),
        ("/teams/new", {"name": "#", "sharing": "team"}, "name", "is not a name"),
        ("/teams/new", {"name": "blue", "sharing": "team"}, "name", "exists already"),
        ("/teams/new", {"name": "x", "sharing": "all"}, "sharing", "Choose one of client, team."),
        ("/clients/new", {"name": "x", "team": "9"}, "team", "Choose a team."),
        (
            "/clients/new",
            {"name": "x", "team": "1", "tokens_per_minute": "-3"},
            "tokens_per_minute",
            "Write a whole number",
        ),
        ("/clients/1/edit", {"name": "red-web", "etag": "*"}, "name", "exists already"),
        ("/clients/1/keys/new", {"expires_days": "0"}, "expires_days", "Write a number of days"),
        ("/keys/1/rotate", {"overlap": "9y"}, "overlap", "Choose how long"),
        ("/budgets/new", {"name": "b", "limit": "abc"}, "limit", "Write dollars"),
        ("/budgets/new", {"name": "b", "limit": "-1"}, "limit", "not below zero"),
        ("/budgets/new", {"name": "b", "limit": "9" * 12}, "limit", "counters are exact"),
        ("/budgets/new", {"name": "b", "limit": "1", "on": "team:99"}, "on", "Choose what"),
        ("/budgets/new", {"name": "b", "limit": "1", "time_zone": "Mars"}, "time_zone", "Mars"),
        ("/budgets/new", {"name": "b", "limit": "1", "tag": "nope=1"}, "tag", "not allowed"),
        ("/budgets/new", {"name": "b", "limit": "1", "tag": "nope"}, "tag", "no tag"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_entered_is_lost(
    site: Site, path: str, fields: dict[str, str], at: str, said: str
) -> None:
    defaults = {"on": "organization:0", "window": "day", "enforcement": "strict"}
    sent = {**defaults, **fields} if path.startswith("/budgets") else fields
    version = site.directory.version()
    page = site.visitor().post(path, 422, **sent).text
    error = re.search(rf'<p class="error" id="{at}-error">(.*?)</p>', page, re.DOTALL)
    assert error is not None, page
    assert said in words(error[1])
    assert f'aria-describedby="{at}-hint {at}-error"' in page or f'"{at}-error"' in page
    if "name" in fields:
        assert value_of(page, "name") == fields["name"]
    assert site.directory.version() == version


def test_a_form_is_not_saved_over_what_somebody_else_has_changed(site: Site) -> None:
    site.directory.create_budget("b", limit_nano=10**9, window=WindowKind.DAY)
    budget = site.directory.budget("b")
    path, visitor = f"/budgets/{budget.id}/edit", site.visitor()
    etag = visitor.field(path, "etag")
    bob = Principal("user:bob@acme.example", Role.ADMIN)
    Directory(site.engine, bob).change_budget("b", limit_nano=7 * 10**9)
    mine = {"name": "b", "limit": "3", "enforcement": "soft"}
    page = visitor.post(path, 409, etag=etag, **mine).text
    assert "user:bob@acme.example made the change" in words(page)
    assert "limit usd from 1.00 to 7.00" in words(page)
    assert value_of(page, "limit") == "3"
    assert site.directory.budget("b").limit_nano == 7 * 10**9
    visitor.post(path, etag=value_of(page, "etag"), **mine)
    changed = site.directory.budget("b")
    assert (changed.limit_nano, changed.enforcement) == (3 * 10**9, "soft")


def test_a_form_without_its_token_changes_nothing(site: Site) -> None:
    visitor = site.visitor()
    for path in ("/teams/new", "/clients/1/remove", "/keys/1/revoke", "/budgets/new"):
        answer = visitor.post_bare(path, name="x", sharing="team")
        assert answer.status_code == 403, path
    assert [row.name for row in site.directory.teams()] == ["blue", "red"]
    assert len(site.directory.clients()) == 2


def test_keys_are_rotated_renamed_and_revoked(site: Site) -> None:
    visitor = site.visitor()
    path = "/keys/1/rotate"
    shown = visitor.post(path, 200, etag=visitor.field(path, "etag"), overlap="24h")
    assert "fg-" in shown.text
    old, new = site.directory.keys()[0], site.directory.keys()[1]
    assert old.expires_at is not None
    assert (new.client_id, new.name, new.expires_at) == (1, "first", None)
    path = f"/keys/{new.id}/edit"
    visitor.post(path, etag=visitor.field(path, "etag"), name="second")
    path = f"/keys/{new.id}/revoke"
    page = visitor.get(path)
    assert "Whoever uses it is refused" in page
    answer = visitor.post(path, etag=value_of(page, "etag"))
    assert answer.headers["Location"] == "/clients/1"
    assert site.directory.key(new.id).revoked_at is not None
    assert site.directory.key(new.id).name == "second"
    assert "revoked already" in visitor.get(path, 404)


def test_what_is_removed_is_confirmed_first(site: Site) -> None:
    visitor = site.visitor()
    etag = visitor.field("/teams/1/remove", "etag")
    page = visitor.post("/teams/1/remove", 422, etag=etag).text
    assert "Team &#39;blue&#39; has a client: remove them first." in page
    visitor.post("/clients/1/remove", etag=visitor.field("/clients/1/remove", "etag"))
    answer = visitor.post("/teams/1/remove", etag=visitor.field("/teams/1/remove", "etag"))
    assert answer.headers["Location"] == "/teams"
    assert [row.name for row in site.directory.teams()] == ["red"]
    visitor.get("/teams/1/edit", 404)
    visitor.get("/clients/1/edit", 404)
    visitor.get("/budgets/77/remove", 404)


def test_an_owner_changes_the_own_team_and_nothing_else(site: Site) -> None:
    site.directory.create_budget("ours", limit_nano=1, window=WindowKind.DAY, client="blue-web")
    site.directory.create_budget("team", limit_nano=1, window=WindowKind.DAY, team="blue")
    site.directory.create_budget("theirs", limit_nano=1, window=WindowKind.DAY, client="red-web")
    ids = {row.name: row.id for row in site.directory.budgets()}
    owner = site.visitor(Role.OWNER, "blue")
    owner.post("/clients/new", name="blue-batch", team="1")
    owner.post("/clients/new", 422, name="red-batch", team="2")
    owner.post("/clients/1/keys/new", 200, name="")
    for path in ("/clients/2/edit", "/clients/2/keys/new", "/keys/2/revoke"):
        owner.get(path, 404)
    owner.get(f"/budgets/{ids['ours']}/edit")
    owner.get(f"/budgets/{ids['team']}/edit", 403)
    owner.get(f"/budgets/{ids['theirs']}/edit", 404)
    page = owner.get("/budgets/new")
    assert "Client blue-web of blue" in page
    assert "Team blue" not in page
    assert "red" not in words(page.partition("<main")[2])
    terms = {"limit": "1", "window": "day", "enforcement": "strict"}
    owner.post("/budgets/new", 422, name="b", on="team:1", **terms)
    owner.post("/budgets/new", 422, name="b", on="client:2", **terms)
    owner.post("/budgets/new", name="b", on="client:1", **terms)
    for path in ("/teams/new", "/teams/1/edit", "/prices/new", "/people", "/tags", "/audit-log"):
        owner.get(path, 403)


def test_finance_looks_and_changes_nothing_of_the_directory(site: Site) -> None:
    finance = site.visitor(Role.FINANCE)
    for path in ("/teams/new", "/clients/new", "/clients/1/edit", "/budgets/new", "/people"):
        finance.get(path, 403)
    finance.post("/keys/1/revoke", 403)
    for path in ("/requests", "/prices", "/audit-log", "/health", "/reconciliation", "/alerts"):
        finance.get(path)


def test_scripts_get_the_form_back_in_place(site: Site) -> None:
    visitor = site.visitor()
    sent = {"csrf_token": visitor.csrf, "name": "", "sharing": "team"}
    client, headers = visitor.client, {"HX-Request": "true"}
    answer = client.post("/teams/new", data=sent, headers=headers)
    assert answer.status_code == 422
    assert "<html" not in answer.text
    answer = client.post("/teams/new", data={**sent, "name": "green"}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["HX-Redirect"].startswith("/teams/")
    assert "Location" not in answer.headers
