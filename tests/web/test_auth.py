from __future__ import annotations

import pytest
from flask import Flask

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.redis_replies import CountersLost
from gateway.core.errors import Unauthorized
from gateway.core.holds import PolicyStale
from gateway.core.policy import Policy
from gateway.core.prices import PriceBook
from gateway.web.auth import authenticate
from tests.adapters.redis_world import open_world

POLICY = Policy(1, PriceBook(()))


def ask(budgets: RedisBudgets) -> None:
    headers = {"Authorization": "Bearer fg-somebody-elses"}
    with Flask("test").test_request_context("/v1/models", headers=headers):
        authenticate(POLICY, budgets)


def test_a_key_that_no_policy_knows_is_refused(redis_url: str) -> None:
    with pytest.raises(Unauthorized):
        ask(open_world(redis_url).budgets)


def test_a_newer_policy_is_asked_first(redis_url: str) -> None:
    budgets = open_world(redis_url).budgets
    budgets.publish(2)
    with pytest.raises(PolicyStale):
        ask(budgets)


@pytest.mark.parametrize("how", ["suspended", "empty"])
def test_where_redis_cannot_tell_the_policy_no_key_is_called_wrong(
    redis_url: str, how: str
) -> None:
    budgets = open_world(redis_url).budgets
    if how == "empty":
        budgets.redis.flushall()
    else:
        budgets.suspend("a test")
    with pytest.raises(CountersLost):
        ask(budgets)
