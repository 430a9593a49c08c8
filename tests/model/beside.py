"""Moves beside requests: first answers under idempotency keys, and objects that wait for SQL."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import Any

from gateway.adapters.first_answers import Claim, FirstAnswer, FirstAnswers
from gateway.adapters.object_rows import as_json
from gateway.adapters.owned_objects import OwnedObjects
from gateway.core.objects import Kind, OwnedObject, WorkState
from tests.model.deployment import Deployment
from tests.model.model import same

KEPT_SECONDS = 48 * 3600
AGES_MS = {"young": 0, "old": 61_000, "forgotten": 25 * 3_600_000 + 61_000}
ANSWERS = (
    FirstAnswer(200, {"content-type": "application/json"}, b'{"a":1}'),
    FirstAnswer(400, {}, b"\x00\xff"),
)
DATA: tuple[dict[str, Any] | None, ...] = (
    None,
    {"id": "x", "list": [], "big": 2**60, "small": 0.1, "none": None},
    {"status": "é"},
)


@dataclass
class Claimed:
    """What the model knows of one idempotency key."""

    digest: str
    request_id: str
    age: str = "young"
    answer: FirstAnswer | None = None


class Beside:
    """Each move says what it did. Raises Violation."""

    def __init__(self, at: Deployment) -> None:
        self.at = at
        self._random = at.random
        self.answers = FirstAnswers(at.gateways[0], KEPT_SECONDS, 1_000)
        self.objects = OwnedObjects(None, at.gateways[0])  # type: ignore[arg-type]
        self.begin()
        self.moves = [
            (self.claim, 2),
            (self.keep_answer, 1),
            (self.give_up, 1),
            (self.grow_old, 1),
            (self.note, 2),
            (self.take, 1),
        ]

    def begin(self) -> None:
        """A fresh deployment knows of nothing."""
        self._claims: dict[tuple[int, str], Claimed] = {}
        self._waiting: dict[str, dict[str, Any]] = {}

    def past(self) -> Any:
        """All that is known now, to be brought back with ``come_back``."""
        return copy.deepcopy((self._claims, self._waiting))

    def come_back(self, past: Any) -> None:
        """Redis has come back as it was."""
        self._claims, self._waiting = copy.deepcopy(past)

    # First answers

    def claim(self) -> str:
        client, key, digest = *self._key(), self._random.choice(("d1", "d1", "d1", "d2"))
        life = self.at.any()
        new = life is None or self._random.random() < 0.4
        request_id = f"frq_{next(self.at.world.ids)}" if life is None or new else life.id
        first = self._claims.get((client, key))
        expected = self._expected(first, digest, request_id)
        found = self.answers.claim(client, key, digest, request_id)
        same(found, expected, f"claim of {client} {key}")
        if found.state == "claimed":
            same(self.answers.claim(client, key, digest, request_id).state, "claimed", "again")
            if first is None or first.request_id != request_id:
                self._claims[client, key] = Claimed(digest, request_id)
        return f"{client} {key} {digest} {request_id}: {found.state}"

    def _expected(self, first: Claimed | None, digest: str, request_id: str) -> Claim:
        if first is None:
            return Claim("claimed")
        if first.digest != digest:
            return Claim("other")
        if first.answer is not None:
            return Claim("answered", first.answer)
        if first.request_id == request_id:
            return Claim("claimed")
        lives = [life for life in self.at.lives if life.id == first.request_id]
        if lives and lives[0].state != "lost":
            (life,) = lives
            if life.state == "open":
                return Claim("running")
            return Claim("claimed" if life.free else "lost")
        states = {"young": "running", "old": "claimed", "forgotten": "lost"}
        return Claim(states[first.age])

    def keep_answer(self) -> str:
        client, key = self._key()
        request_id, answer = self._some_request(client, key), self._random.choice(ANSWERS)
        self.answers.keep(client, key, request_id, answer)
        first = self._claims.get((client, key))
        if first is not None and first.request_id == request_id:
            first.answer = answer
        return f"{client} {key} {request_id}"

    def give_up(self) -> str:
        client, key = self._key()
        request_id = self._some_request(client, key)
        self.answers.give_up(client, key, request_id)
        first = self._claims.get((client, key))
        if first is not None and first.request_id == request_id:
            del self._claims[client, key]
        return f"{client} {key} {request_id}"

    def grow_old(self) -> str:
        """Time passes for one claim."""
        client, key = self._key()
        first = self._claims.get((client, key))
        if first is None:
            return "nothing"
        first.age = self._random.choice(tuple(AGES_MS))
        at_ms = self.at.world.now_ms() - AGES_MS[first.age]
        self.at.redis.hset(self.answers._key(client, key), "at", at_ms)
        return f"{client} {key} is {first.age}"

    def _key(self) -> tuple[int, str]:
        return self._random.choice((1, 2)), self._random.choice(("k1", "k2", "k3"))

    def _some_request(self, client: int, key: str) -> str:
        first = self._claims.get((client, key))
        return first.request_id if first and self._random.random() < 0.7 else "frq_other"

    # Objects

    def note(self) -> str:
        rnd = self._random
        one = OwnedObject(
            rnd.choice((Kind.FILE, Kind.BATCH)),
            rnd.choice(("a", "b")),
            1,
            rnd.choice((1, 1, 1, 2)),
            1,
            5,
            "m",
            rnd.choice(DATA),
            rnd.random() < 0.2,
            rnd.choice(DATA),
            rnd.choice((None, WorkState.OPEN, WorkState.SETTLED)),
        )
        new = json.loads(as_json(one))
        for _ in range(rnd.choice((1, 2))):
            self.objects.note([one])
        old = self._waiting.get(one.name)
        self._waiting[one.name] = new if old is None else _merged(old, new)
        self._check(one.name)
        return f"{one.name} of {one.client_id}"

    def take(self) -> str:
        """The mover has written down what it read, which may have changed since."""
        if not self._waiting:
            return "nothing"
        name = self._random.choice(sorted(self._waiting))
        read = self.at.redis.hget(self.at.keys.objects_waiting, name)
        changed = self._random.random() < 0.4
        if changed:
            kind, _, object_id = name.partition("/")
            same(kind in {one.value for one in Kind}, True, "kind")
            old = self.objects.noted(Kind(kind), object_id)
            assert old is not None
            newer = replace(old, data={"status": str(self._random.random())})
            self.objects.note([newer])
            self._waiting[name] = _merged(self._waiting[name], json.loads(as_json(newer)))
        taken = self.objects._take(
            self.at.redis, [self.at.keys.objects_waiting], [name.encode(), read]
        )
        same(taken, 0 if changed else 1, "taken")
        if not changed:
            del self._waiting[name]
        self._check(name)
        return f"{name} changed={changed}"

    def _check(self, name: str) -> None:
        found = self.at.redis.hget(self.at.keys.objects_waiting, name)
        same(None if found is None else json.loads(found), self._waiting.get(name), name)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What is known of an object once more is noted: its owner alone may change it."""
    if old["client_id"] != new["client_id"]:
        return old
    found = dict(old)
    for name in ("data", "work"):
        if new[name] is not None:
            found[name] = new[name]
    if new["work_state"] is not None and old["work_state"] != "settled":
        found["work_state"] = new["work_state"]
    found["deleted"] = old["deleted"] or new["deleted"]
    return found
