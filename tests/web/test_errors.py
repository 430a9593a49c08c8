from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown


def refusals(caller: FlaskClient) -> dict[str, float]:
    text = caller.get("/metrics").get_data(as_text=True)
    return {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "faregate_refusals_total"
    }


def test_every_error_is_counted_once_by_its_code(make_app: Callable[[], Flask]) -> None:
    app = make_app()
    caller = app.test_client()
    assert refusals(caller) == {}
    for path in ("/v1/none", "/v1/none/at/all", "/v1//models"):
        assert caller.get(path).status_code == 404
    assert caller.put("/v1/chat/completions").status_code == 405
    assert caller.get("/v1/models").status_code == 401
    assert refusals(caller) == {
        "unknown_endpoint": 3,
        "method_not_supported": 1,
        "invalid_api_key": 1,
    }


def test_what_has_no_code_is_counted_by_its_type(
    make_app: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: RedisBudgets) -> None:
        raise ValueError("a bug")

    caller = make_app().test_client()
    monkeypatch.setattr(RedisBudgets, "policy_version", fail)
    headers = {"Authorization": "Bearer fg-unknown"}
    assert caller.get("/v1/models", headers=headers).status_code == 500
    assert refusals(caller) == {"server_error": 1}


def test_a_store_that_is_away_is_counted(
    make_app: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: RedisBudgets) -> None:
        raise StoreDown("away")

    caller = make_app().test_client()
    monkeypatch.setattr(RedisBudgets, "policy_version", fail)
    headers = {"Authorization": "Bearer fg-unknown"}
    answer = caller.post("/v1/chat/completions", headers=headers, json={})
    assert answer.status_code == 503
    assert refusals(caller) == {"store_unavailable": 1}
