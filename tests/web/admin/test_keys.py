from __future__ import annotations

import json

from gateway.adapters.policy_loader import load_policy
from gateway.adapters.tables import keys
from gateway.core.policy import hash_key
from gateway.core.roles import Role
from tests.adapters.recorded import rows
from tests.web.admin.asking import Asker, asker, client_asker, fresh
from tests.web.control import Control


def test_a_secret_is_answered_once_and_works(control: Control) -> None:
    admin, name = asker(control), fresh("client")
    client = control.directory.create_client(control.team(), name)
    made = admin.post("/keys", {"client_id": client, "name": "ci", "expires_in_seconds": 3600})
    key, secret = made.json, made.json["secret"]
    assert (made.status, key["state"], key["client"]) == (201, "active", name)
    assert key["display"].endswith(secret[-4:])
    assert Asker(control, secret).get("/me").json["client"]["id"] == client
    read = admin.get(f"/keys/{key['id']}")
    assert read.json == {field: value for field, value in key.items() if field != "secret"}
    listed = admin.get("/keys", client_id=client)
    log = admin.get("/audit-log", subject="key", subject_id=key["id"])
    for reply in (read, listed, log):
        text = json.dumps(reply.json)
        assert secret not in text
        assert hash_key(secret) not in text


def test_a_key_is_rotated_with_an_overlap(control: Control) -> None:
    admin, name = asker(control), fresh("client")
    client = control.directory.create_client(control.team(), name)
    old = admin.post("/keys", {"client_id": client})
    path = f"/keys/{old.json['id']}"
    assert admin.post(f"{path}/rotate", {}, '"other"').status == 412
    rotated = admin.post(f"{path}/rotate", {"overlap_seconds": 600}, old.etag)
    assert rotated.status == 201
    new, replaced = rotated.json, rotated.json["replaced"]
    assert replaced["id"] == old.json["id"] != new["id"]
    assert (replaced["state"], new["expires_at"]) == ("active", None)
    assert replaced["expires_at"] is not None
    for secret in (old.json["secret"], new["secret"]):
        assert Asker(control, secret).get("/me").status == 200
    # Without a body: the usual overlap; with none, the old one ends now.
    assert admin.post(f"/keys/{new['id']}/rotate").json["replaced"]["state"] == "active"
    ended = admin.post(f"/keys/{new['id']}/rotate", {"overlap_seconds": 0})
    assert ended.json["replaced"]["state"] == "expired"
    states = [key["state"] for key in admin.get("/keys", client_id=client).json["data"]]
    assert sorted(states) == ["active", "active", "active", "expired"]
    expired = admin.get("/keys", client_id=client, state="expired").json["data"]
    assert [key["id"] for key in expired] == [new["id"]]


def test_a_key_is_revoked_at_once(control: Control) -> None:
    admin, name = asker(control), fresh("client")
    client = control.directory.create_client(control.team(), name)
    made = admin.post("/keys", {"client_id": client})
    renamed = admin.patch(f"/keys/{made.json['id']}", {"name": "old ci"}, made.etag)
    assert renamed.json["name"] == "old ci"
    assert admin.delete(f"/keys/{made.json['id']}", made.etag).status == 412
    revoked = admin.delete(f"/keys/{made.json['id']}", renamed.etag)
    assert (revoked.status, revoked.json["state"]) == (200, "revoked")
    again = admin.delete(f"/keys/{made.json['id']}")
    assert (again.status, again.code) == (409, "in_the_way")
    stored = load_policy(control.engine).keys[hash_key(made.json["secret"])]
    assert stored.revoked_at is not None


def test_an_owner_has_the_keys_of_the_own_teams_clients(control: Control) -> None:
    mine, other = control.team(), control.team()
    own = control.directory.create_client(mine, fresh("client"))
    strange = control.directory.create_client(other, fresh("client"))
    owner, admin = asker(control, Role.OWNER, mine), asker(control)
    key = owner.made("/keys", {"client_id": own})
    theirs = admin.made("/keys", {"client_id": strange})
    assert [one["id"] for one in owner.get("/keys").json["data"]] == [key["id"]]
    for reply in (
        owner.get(f"/keys/{theirs['id']}"),
        owner.patch(f"/keys/{theirs['id']}", {"name": "x"}),
        owner.post(f"/keys/{theirs['id']}/rotate", {}),
        owner.delete(f"/keys/{theirs['id']}"),
    ):
        assert (reply.status, reply.message) == (404, f"There is no key {theirs['id']}.")
    assert owner.post("/keys", {"client_id": strange}).status == 404
    assert owner.delete(f"/keys/{key['id']}").status == 200


def test_a_clients_key_makes_no_keys(control: Control) -> None:
    name = fresh("client")
    client = control.directory.create_client(control.team(), name)
    asked = client_asker(control, name)
    before = len(rows(control.engine, keys))
    assert asked.post("/keys", {"client_id": client}).status == 403
    assert len(rows(control.engine, keys)) == before
