from __future__ import annotations

from typing import Any

import gevent
import pytest
from openai.types import Model

from gateway.adapters import model_list
from gateway.adapters.model_list import FRESH_SECONDS, RETRY_SECONDS, ModelList
from gateway.adapters.upstream import UpstreamError


class Provider:
    """A provider that can be counted on to count, and told to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.names: tuple[str, ...] | None = ("a", "b")
        self.seconds = 0.0

    def models(self) -> list[Model]:
        self.asked += 1
        gevent.sleep(self.seconds)
        if self.names is None:
            raise UpstreamError("away")
        return [Model(id=n, created=0, object="model", owned_by="x") for n in self.names]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(model_list, "monotonic", made)
    return made


def names(models: ModelList) -> Any:
    found = models.get()
    return None if found is None else tuple(found)


def test_the_provider_is_asked_once_a_minute(clock: Clock) -> None:
    provider = Provider()
    models = ModelList(provider)  # type: ignore[arg-type]
    assert names(models) == ("a", "b")
    provider.names = ("c",)
    clock.now += FRESH_SECONDS - 1
    assert names(models) == ("a", "b")
    clock.now += 1
    assert names(models) == ("c",)
    assert provider.asked == 2


def test_an_outage_keeps_the_last_list_and_is_not_asked_at_every_request(clock: Clock) -> None:
    provider = Provider()
    provider.names = None
    models = ModelList(provider)  # type: ignore[arg-type]
    assert names(models) is None
    assert names(models) is None
    assert provider.asked == 1
    provider.names = ("a",)
    clock.now += RETRY_SECONDS
    assert names(models) == ("a",)
    provider.names = None
    clock.now += FRESH_SECONDS
    assert names(models) == ("a",)
    assert provider.asked == 3


def test_many_at_once_ask_once(clock: Clock) -> None:
    provider = Provider()
    provider.seconds = 0.01
    models = ModelList(provider)  # type: ignore[arg-type]
    asking = [gevent.spawn(names, models) for _ in range(50)]
    gevent.joinall(asking, raise_error=True)
    assert {task.value for task in asking} == {("a", "b")}
    assert provider.asked == 1
