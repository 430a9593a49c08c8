"""The follower and a real provider: what it asks, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from openai import OpenAI
from sqlalchemy import Engine

from gateway.adapters.object_rows import find_object
from gateway.core.long_work import Work
from gateway.core.objects import Found, Kind, OwnedObject, WorkState
from gateway.core.outcomes import Outcome
from gateway.core.progress import Asking, PriceOf, Progress
from gateway.core.usage import Certainty
from gateway.workers.follower import AskingProvider
from tests.adapters.provider_socket import SocketProvider, Talk
from tests.adapters.redis_world import World
from tests.workers.long_work import begin, made, state

Answers = Mapping[str, tuple[bytes, bytes]]


@pytest.fixture
def provider() -> Iterator[Callable[[Answers], SocketProvider]]:
    """Makes a provider that answers paths with a status line and a body."""
    with ExitStack() as opened:

        def make(answers: Answers) -> SocketProvider:
            def play(talk: Talk) -> None:
                while request := talk.request():
                    path = request.split(b" ")[1].decode()
                    status, body = answers.get(path, (b"404 Not Found", NO_SUCH))
                    talk.answer(body, b"Content-Type: application/json", status=status)

            return opened.enter_context(SocketProvider(play))

        yield make


NO_SUCH = json.dumps(
    {"error": {"message": "No batch", "type": "invalid_request_error", "code": None}}
).encode()
LINES = '{"custom_id": "1", "text": "a\u2028b\x85c"}\r\n\n{"custom_id": "2"}\n{"last": 1}'.encode()


def follow_batch(asking: Asking, one: OwnedObject, _work: Work, _price: PriceOf) -> Progress:
    """A small follower: a batch costs a nano-dollar for each line of its output."""
    batch = asking.json(f"/batches/{one.id}")
    if batch.get("status") != "completed":
        return Progress(data=batch)
    lines = [line for line in asking.lines(f"/files/{batch['output_file_id']}/content") if line]
    found = [Found(Kind.FILE, batch["output_file_id"])]
    return Progress(batch, found, Outcome(200, Certainty.EXACT, len(lines)))


def test_work_is_followed_at_a_provider(
    world: World, engine: Engine, provider: Callable[[Answers], SocketProvider]
) -> None:
    begin(world, engine)
    answers = {"/v1/batches/b1": (b"200 OK", b'{"id": "b1", "status": "in_progress"}')}
    one = made(world, engine, follow_batch, provider(answers).port)
    assert one.step() == 0
    done = {"id": "b1", "status": "completed", "output_file_id": "file-out"}
    answers["/v1/batches/b1"] = (b"200 OK", json.dumps(done).encode())
    answers["/v1/files/file-out/content"] = (b"200 OK", LINES)
    assert one.step() == 1
    assert world.counters() == (3, 0)
    assert find_object(engine, Kind.FILE, "file-out") is not None


def test_lines_end_with_a_line_feed_and_nothing_else(
    provider: Callable[[Answers], SocketProvider],
) -> None:
    large = b'{"a": "' + b"x" * 3_000_000 + b'"}'
    whole = LINES + b"\n" + large + b"\n"
    answers = {
        "/v1/files/f/content": (b"200 OK", whole),
        "/v1/files/empty/content": (b"200 OK", b""),
        "/v1/list": (b"200 OK", b"[1]"),
    }
    client = OpenAI(api_key="k", base_url=f"http://127.0.0.1:{provider(answers).port}/v1")
    asking = AskingProvider(client)
    assert list(asking.lines("/files/f/content")) == whole.split(b"\n")[:-1]
    assert list(asking.lines("/files/empty/content")) == []
    assert asking.json("/list") == {}


def test_what_the_provider_does_not_know_any_more_costs_the_most_it_can(
    world: World, engine: Engine, provider: Callable[[Answers], SocketProvider]
) -> None:
    begin(world, engine)
    assert made(world, engine, follow_batch, provider({}).port).step() == 1
    assert world.counters() == (100, 0)
    (event,) = world.events()
    assert (event.row["certainty"], event.row["status"]) == ("unknown", 404)
    assert state(engine) is WorkState.SETTLED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"404 Not Found", b"<html>no such host</html>"),
        (b"404 Not Found", b'{"detail": "Not Found"}'),
        (b"500 Oops", b"{}"),
        (b"401 Unauthorized", NO_SUCH),
        (b"429 Slow down", NO_SUCH),
        (b"200 OK", b"no JSON"),
    ],
)
def test_a_provider_that_does_not_answer_is_asked_again(
    world: World,
    engine: Engine,
    provider: Callable[[Answers], SocketProvider],
    status: bytes,
    body: bytes,
) -> None:
    begin(world, engine)
    answers = {"/v1/batches/b1": (status, body)}
    one = made(world, engine, follow_batch, provider(answers).port)
    assert one.step() == 0
    assert world.counters() == (0, 100)
    assert state(engine) is WorkState.OPEN


def test_a_provider_that_cannot_be_reached_is_asked_again(
    world: World, engine: Engine, free_port: int
) -> None:
    begin(world, engine)
    assert made(world, engine, follow_batch, free_port).step() == 0
    assert world.counters() == (0, 100)
