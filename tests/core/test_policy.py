from __future__ import annotations

import hashlib

import pytest

from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.core.policy import Client, Policy, budgets_by_client, hash_key
from gateway.core.prices import PriceBook
from gateway.core.tags import NO_TAGS


def budget(
    number: int,
    scope: Scope,
    *,
    team_id: int | None = None,
    client_id: int | None = None,
    pattern: str | None = None,
) -> Budget:
    return Budget(
        number,
        f"budget {number}",
        scope,
        1_000,
        WindowKind.DAY,
        "UTC",
        Enforcement.STRICT,
        team_id,
        client_id,
        pattern,
    )


ANNA, BERT, CARL = (
    Client(1, "anna", 10, "a"),
    Client(2, "bert", 10, "a"),
    Client(3, "carl", 20, "b"),
)
ORGANIZATION = budget(1, Scope.ORGANIZATION)
TEAM_A = budget(2, Scope.TEAM, team_id=10)
TEAM_B = budget(3, Scope.TEAM, team_id=20, pattern="gpt-4*")
OF_ANNA = budget(4, Scope.CLIENT, client_id=1)


def test_a_client_falls_under_its_own_budgets_its_team_s_and_the_organization_s() -> None:
    all_budgets = [ORGANIZATION, TEAM_A, TEAM_B, OF_ANNA]
    assert budgets_by_client([ANNA, BERT, CARL], all_budgets) == {
        1: (OF_ANNA, TEAM_A, ORGANIZATION),
        2: (TEAM_A, ORGANIZATION),
        3: (TEAM_B, ORGANIZATION),
    }


def test_ids_of_teams_and_clients_do_not_mix() -> None:
    # Team 10 and client 10 are two things.
    other = Client(10, "other", 99, "z")
    assert budgets_by_client([other], [TEAM_A, OF_ANNA]) == {10: ()}


def test_a_policy_picks_the_budgets_that_cover_the_model() -> None:
    policy = Policy(1, PriceBook([]), budgets=budgets_by_client([CARL], [TEAM_B, ORGANIZATION]))
    assert policy.budgets_for(CARL, "gpt-4o", NO_TAGS) == (TEAM_B, ORGANIZATION)
    assert policy.budgets_for(CARL, "gpt-5", NO_TAGS) == (ORGANIZATION,)
    assert policy.budgets_for(ANNA, "gpt-4o", NO_TAGS) == ()


@pytest.mark.parametrize(
    ("patterns", "model", "may"),
    [
        ((), "anything", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-4o*", "o3"), "o3", True),
        (("gpt-4o*",), "ft:gpt-4o:acme", False),
        (("*",), "x", True),
        (("",), "gpt-4o", False),
        (("gpt-4o",), "GPT-4O", False),
        (("gpt-4o",), "gpt-4o\n", False),
    ],
)
def test_allowed_models(patterns: tuple[str, ...], model: str, may: bool) -> None:
    assert Client(1, "c", 1, "t", allowed_models=patterns).may_use(model) is may


def test_a_key_is_stored_as_its_sha256() -> None:
    assert hash_key("fg-secret") == hashlib.sha256(b"fg-secret").hexdigest()
    # Whatever a header holds has a hash, and none equals another's.
    assert len({hash_key(s) for s in ("fg-é", "fg-\udce9", "fg-e", "")}) == 4
