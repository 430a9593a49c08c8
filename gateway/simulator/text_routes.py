"""The endpoints that answer in text: chat, stored chat, responses, completions, moderations."""

from __future__ import annotations

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator import moderations
from gateway.simulator.chat import Chat
from gateway.simulator.completions import Completions
from gateway.simulator.prompt_cache import PromptCache
from gateway.simulator.responses import Responses
from gateway.simulator.routes import Route
from gateway.simulator.stored_chat import StoredChats
from gateway.simulator.text import Writer
from gateway.simulator.truth import TruthLog


def routes(tokenizer: Tokenizer, writer: Writer, log: TruthLog) -> list[Route]:
    """The endpoints; those that run in the background charge in ``log`` by themselves."""
    stored = StoredChats()
    chat = Chat(tokenizer, writer, PromptCache(), stored)
    return [
        ("POST", "/v1/chat/completions", chat),
        *stored.routes(),
        *Responses(chat, log).routes(),
        *Completions(tokenizer, writer).routes(),
        *moderations.routes(),
    ]
