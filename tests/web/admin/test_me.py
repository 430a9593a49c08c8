from __future__ import annotations

from gateway.core.budgets import WindowKind
from gateway.core.roles import Role
from tests.web.admin.asking import asker, client_asker, fresh
from tests.web.admin.spending import Spender
from tests.web.control import Control

USD = 1_000_000_000


def test_a_clients_key_reads_what_is_its_clients(control: Control) -> None:
    mine, other = Spender(control), Spender(control)
    mate = Spender(control, mine.team)
    own = mine.spend(5, model="gpt-4o")
    mate.spend(7)
    other.spend(9)
    terms = {"limit_nano": USD, "window": WindowKind.DAY}
    names = {place: fresh(place) for place in ("own", "team", "mate", "other", "all")}
    control.directory.create_budget(names["own"], client=mine.client, **terms)
    control.directory.create_budget(names["team"], team=mine.team, **terms)
    control.directory.create_budget(names["mate"], client=mate.client, **terms)
    control.directory.create_budget(names["other"], team=other.team, **terms)
    control.directory.create_budget(names["all"], **terms)
    control.publish()
    key = client_asker(control, mine.client)
    me = key.get("/me").json
    assert (me["role"], me["client"]["name"], me["team"]["name"]) == (
        "client",
        mine.client,
        mine.team,
    )
    seen = {budget["name"] for budget in key.get("/me/budgets", limit=500).json["data"]}
    assert seen & set(names.values()) == {names["own"], names["team"], names["all"]}
    assert [one["request_id"] for one in key.get("/me/requests").json["data"]] == [own]
    assert key.get("/me/usage").json["total"]["cost_usd"] == "0.000000005"
    assert [row["key"] for row in key.get("/me/usage", group_by="model").json["data"]] == ["gpt-4o"]
    # It cannot ask for others': there is no such filter.
    assert key.get("/me/usage", client_id=mate.client_id).status == 400
    assert key.get("/usage").status == key.get("/budgets").status == 403


def test_others_read_what_they_may_see(control: Control) -> None:
    spender = Spender(control)
    spender.spend(5)
    owner = asker(control, Role.OWNER, spender.team).get("/me").json
    assert (owner["role"], owner["team"]["name"], owner["client"]) == ("owner", spender.team, None)
    admin = asker(control)
    assert admin.get("/me").json["team"] is None
    assert admin.get("/me/budgets").status == admin.get("/me/requests").status == 200
