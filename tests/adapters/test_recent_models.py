"""Fine-tuned models that were just looked up are not looked up again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, delete

from gateway.adapters import object_keeper
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.adapters.tables import owned_objects
from gateway.core.errors import ModelNotFound
from gateway.core.objects import Kind, OwnedObject
from gateway.core.policy import Client, Sharing
from tests.adapters.redis_world import World

OWNER = Client(1, "owner", 7, "team")
MATE = Client(2, "mate", 7, "team")
NAME = "ft:m:org::1"
MODEL = OwnedObject(Kind.MODEL, NAME, 7, 1, 3, 1_000, NAME, {"id": NAME})


@pytest.fixture
def keeper(world: World, engine: Engine) -> ObjectKeeper:
    return ObjectKeeper(engine, world.budgets)


def test_a_model_that_was_found_serves_for_a_while(
    keeper: ObjectKeeper, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.note([MODEL])
    keeper.move()
    assert keeper.find_model(OWNER, NAME) == MODEL
    with engine.begin() as connection:
        connection.execute(delete(owned_objects))
    assert keeper.find_model(OWNER, NAME) == MODEL
    # To others it does not exist, and for no longer than a few seconds is it remembered.
    with pytest.raises(ModelNotFound) as refused:
        keeper.find_model(MATE, NAME)
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")
    assert keeper.find_model(replace(MATE, sharing=Sharing.TEAM), NAME) == MODEL
    monkeypatch.setattr(object_keeper, "monotonic", lambda: 10**12)
    with pytest.raises(ModelNotFound):
        keeper.find_model(OWNER, NAME)


def test_a_model_deleted_here_is_forgotten_at_once(keeper: ObjectKeeper) -> None:
    keeper.note([MODEL])
    assert keeper.find_model(OWNER, NAME) == MODEL
    keeper.note([replace(MODEL, deleted=True)])
    with pytest.raises(ModelNotFound):
        keeper.find_model(OWNER, NAME)
    # A follower that asked the provider before the deletion, and writes it down after.
    keeper.note([MODEL])
    with pytest.raises(ModelNotFound):
        keeper.find_model(OWNER, NAME)


def test_few_models_are_remembered(keeper: ObjectKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_keeper, "RECENT_MAX", 2)
    for number in range(5):
        name = f"{NAME}{number}"
        keeper.note([replace(MODEL, id=name)])
        assert keeper.find_model(OWNER, name).id == name
    assert len(keeper._recent) <= 2
