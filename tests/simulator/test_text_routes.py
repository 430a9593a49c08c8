from __future__ import annotations

from openai import OpenAI

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.text import Writer
from gateway.simulator.text_routes import routes
from gateway.simulator.truth import TruthLog
from tests.simulator.conftest import question


def test_every_endpoint_is_there_once(tokenizer: Tokenizer) -> None:
    found = [
        (method, path) for method, path, _ in routes(tokenizer, Writer(tokenizer), TruthLog(None))
    ]
    assert len(found) == len(set(found))
    for path in ("chat/completions", "responses", "completions", "moderations"):
        assert ("POST", f"/v1/{path}") in found


def test_what_is_stored_is_shared_by_the_endpoints(client: OpenAI) -> None:
    made = client.chat.completions.create(**question(store=True))
    assert client.chat.completions.retrieve(made.id).id == made.id
