from __future__ import annotations

import pytest

from gateway.core.roles import Principal, Role

ADMIN = Principal("user:ann@acme.example", Role.ADMIN)
FINANCE = Principal("user:fay@acme.example", Role.FINANCE)
OWNER = Principal("user:oz@acme.example", Role.OWNER, team_id=1)
CLIENT = Principal("key:fg-ab...wxyz", Role.CLIENT, team_id=1, client_id=5)
ALL = (ADMIN, FINANCE, OWNER, CLIENT)


def told(rule: str) -> list[bool]:
    return [getattr(who, rule) for who in ALL]


def asked(rule: str, *where: int | None) -> list[bool]:
    return [getattr(who, rule)(*where) for who in ALL]


def test_what_each_role_may() -> None:
    assert told("sees_everything") == [True, True, False, False]
    assert told("may_write") == [True, False, True, False]
    assert told("may_administer") == [True, False, False, False]
    assert told("may_decide") == [True, True, False, False]


def test_what_is_seen_ends_at_ones_own_team_and_client() -> None:
    assert [who.team_scope() for who in ALL] == [None, None, 1, 1]
    assert [who.client_scope() for who in ALL] == [None, None, None, 5]
    assert asked("sees_team", 1) == [True, True, True, False]
    assert asked("sees_team", 2) == [True, True, False, False]
    assert asked("sees_client", 1, 5) == [True, True, True, True]
    assert asked("sees_client", 1, 6) == [True, True, True, False]
    assert asked("sees_client", 2, 5) == [True, True, False, False]


def test_budgets_are_seen_by_who_falls_under_them() -> None:
    assert asked("sees_budget", None, None) == [True, True, True, True]
    assert asked("sees_budget", 1, None) == [True, True, True, True]
    assert asked("sees_budget", 1, 5) == [True, True, True, True]
    assert asked("sees_budget", 1, 6) == [True, True, True, False]
    assert asked("sees_budget", 2, None) == [True, True, False, False]
    assert asked("sees_budget", 2, 5) == [True, True, False, False]


def test_an_owner_changes_clients_of_the_own_team_and_not_what_bounds_it() -> None:
    assert asked("may_change_client", 1) == [True, False, True, False]
    assert asked("may_change_client", 2) == [True, False, False, False]
    assert asked("may_change_budget", 1, 5) == [True, False, True, False]
    assert asked("may_change_budget", 2, 7) == [True, False, False, False]
    assert asked("may_change_budget", 1, None) == [True, False, False, False]
    assert asked("may_change_budget", None, None) == [True, False, False, False]


@pytest.mark.parametrize(
    ("role", "team_id", "client_id"),
    [
        (Role.OWNER, None, None),
        (Role.OWNER, 1, 5),
        (Role.CLIENT, None, 5),
        (Role.CLIENT, 1, None),
        (Role.ADMIN, 1, None),
        (Role.FINANCE, None, 5),
    ],
)
def test_a_role_without_its_bounds_cannot_be_made(
    role: Role, team_id: int | None, client_id: int | None
) -> None:
    with pytest.raises(ValueError, match="a principal with the role"):
        Principal("user:x", role, team_id=team_id, client_id=client_id)
