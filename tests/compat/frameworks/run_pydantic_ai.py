"""Pydantic AI against an OpenAI-compatible server: prints what came back, as JSON.

Run by the interpreter of ``.venv-compat``; the address and the key come from the environment,
as users of Pydantic AI give them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, NativeOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

PROVIDER = OpenAIProvider(
    base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"]
)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """The weather of a city."""
    called.append({"city": city})
    return f"It rains in {city}."


called: list[dict[str, str]] = []


def usage_of(run: Any) -> list[int]:
    return [run.usage.input_tokens, run.usage.output_tokens]


async def main() -> None:
    model = OpenAIChatModel("gpt-4o-mini", provider=PROVIDER)
    answer = await Agent(model, instructions="Be brief.").run("What do budgets limit?")
    told = await Agent(model, tools=[get_weather]).run("Please call the tool.")
    by_tool = await Agent(model, output_type=Person).run("Who is Ada?")
    native = await Agent(model, output_type=NativeOutput(Person)).run("Who is Ada?")
    async with Agent(model).run_stream("What is a window?") as streamed:
        parts = [part async for part in streamed.stream_text(delta=True, debounce_by=None)]
        used = usage_of(streamed)
    by_responses = OpenAIResponsesModel("gpt-4o-mini", provider=PROVIDER)
    responded = await Agent(by_responses).run("What do budgets limit?")
    embedder = Embedder(OpenAIEmbeddingModel("text-embedding-3-small", provider=PROVIDER))
    vectors = await embedder.embed_documents(["one", "two words"])
    facts = {
        "chat": {"text": answer.output, "usage": usage_of(answer)},
        "tools": {"name": "get_weather", "arguments": called[0], "then": told.output},
        "structured": [type(by_tool.output).__name__, type(native.output).__name__],
        "streaming": {"chunks": len(parts), "text": "".join(parts), "usage": used},
        "responses": {"text": responded.output, "usage": usage_of(responded)},
        "embeddings": [len(vector) for vector in vectors.embeddings],
    }
    json.dump(facts, sys.stdout)


asyncio.run(main())
