"""Long-lived work for tests: begun as a gateway process does, and followed."""

from __future__ import annotations

from openai import OpenAI
from sqlalchemy import Engine

from gateway.adapters.object_rows import find_object
from gateway.adapters.owned_objects import OwnedObjects
from gateway.adapters.redis_budgets import connect
from gateway.core.holds import Hold
from gateway.core.long_work import Work
from gateway.core.objects import Found, Kind, OwnedObject, WorkState
from gateway.core.outcomes import Outcome
from gateway.core.progress import Asking, Follow, PriceOf, Progress
from gateway.core.usage import Certainty, Usage
from gateway.workers.follower import Follower
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import World, budget

STRICT = budget(1, 10_000)


def begin(world: World, engine: Engine, name: str = "b1", kind: Kind = Kind.BATCH) -> Hold:
    """Work that a gateway process has begun and handed over."""
    hold = world.reserve(STRICT, model="m")
    work = Work(hold, None, "batch", {"lines": 2}).as_fields()
    data = {"id": name, "status": "validating"}
    one = OwnedObject(kind, name, 1, 1, 1, 7, "m", data, work=work, work_state=WorkState.OPEN)
    OwnedObjects(engine, world.budgets).note([one])
    OwnedObjects(engine, world.budgets).move()
    world.budgets.hand_over(hold.request_id, 1, 1000)
    return hold


def ended(cost: int = 40) -> Progress:
    usage = Usage(input_tokens=20, output_tokens=30)
    return Progress(
        data={"id": "b1", "status": "completed"},
        found=[Found(Kind.FILE, "file-out", 9, data={"id": "file-out"})],
        outcome=Outcome(200, Certainty.EXACT, cost, usage, "batch"),
    )


def following(world: World, engine: Engine, *said: Progress | Exception) -> Follower:
    """A follower to which the provider says ``said``, one after the other, the last for ever."""
    answers = list(said)

    def follow(_asking: Asking, _one: OwnedObject, _work: Work, _price: PriceOf) -> Progress:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return made(world, engine, follow)


def made(world: World, engine: Engine, follow: Follow, port: int = 9) -> Follower:
    client = OpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
    return Follower(world.budgets, engine, client, {Kind.BATCH: follow}, 0.001)


def drain(world: World, engine: Engine) -> None:
    Recorder(connect(world.url, 5.0), world.budgets.keys, engine, 100).drain()


def state(engine: Engine, name: str = "b1") -> WorkState | None:
    found = find_object(engine, Kind.BATCH, name)
    assert found is not None
    return found.work_state
