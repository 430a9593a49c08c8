from __future__ import annotations

import gc
from typing import Any

import pytest
from flask import Flask

from gateway.core.errors import BadRequest, ServerBusy
from gateway.settings import Settings
from gateway.web.body_room import BodyRoom, LargeBody, Share
from gateway.web.json_body import json_object

MEGABYTE = 1024 * 1024
SETTINGS = Settings(large_bodies_bytes_max=MEGABYTE)


def room_of(app: Flask) -> BodyRoom:
    found: BodyRoom = app.extensions["faregate.body_room"]
    return found


def parsed(app: Flask, size: int) -> dict[str, Any]:
    with app.test_request_context(method="POST", json={"input": "x" * size}):
        return json_object(SETTINGS)[0]


def test_a_share_is_given_back_with_the_last_reference_to_its_body() -> None:
    room = BodyRoom(100)
    share = Share(room)
    share.add(60)
    body = LargeBody({"a": 1}, share)
    del share
    assert body == {"a": 1}
    with pytest.raises(ServerBusy) as raised:
        room.take(41)
    assert raised.value.headers["retry-after"] == "1"
    del body, raised
    gc.collect()
    room.take(100)


def test_large_bodies_share_the_room_and_small_ones_need_none() -> None:
    app = Flask("test")
    kept = parsed(app, 600_000)
    assert room_of(app).used > 600_000
    with pytest.raises(ServerBusy):
        parsed(app, 600_000)
    # Also what was read of a body before there was no more room is given back.
    assert room_of(app).used < 700_000
    assert parsed(app, 60_000) == {"input": "x" * 60_000}
    del kept
    gc.collect()
    assert room_of(app).used == 0
    assert parsed(app, 600_000)["input"]


def test_a_body_that_is_refused_gives_its_room_back() -> None:
    app = Flask("test")
    for _ in range(3):
        with (
            app.test_request_context(method="POST", data=b"[" * 600_000),
            pytest.raises(BadRequest),
        ):
            json_object(SETTINGS)
    gc.collect()
    assert room_of(app).used == 0
