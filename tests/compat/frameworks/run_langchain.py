"""LangChain against an OpenAI-compatible server: prints what came back, as JSON.

Run by the interpreter of ``.venv-compat``; the address and the key come from the environment,
as users of LangChain give them.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

ADDRESS: dict[str, Any] = {
    "base_url": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"It rains in {city}."


def usage_of(message: AIMessage) -> list[int]:
    used: Any = message.usage_metadata
    return [used["input_tokens"], used["output_tokens"]]


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini", **ADDRESS)
    answer = model.invoke([("system", "Be brief."), ("user", "What do budgets limit?")])

    # As the decorator is untyped outside its own environment, it is applied as a call.
    weather = tool(get_weather)
    asked = [("user", "Please call the tool.")]
    calling = model.bind_tools([weather]).invoke(asked)
    (call,) = calling.tool_calls
    told = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    after = model.bind_tools([weather]).invoke([*asked, calling, told])

    structured = model.with_structured_output(Person).invoke("Who is Ada?")
    by_tool = model.with_structured_output(Person, method="function_calling").invoke("Ada?")

    chunks = list(model.stream("What is a window?", stream_usage=True))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk

    by_responses = ChatOpenAI(model="gpt-4o-mini", use_responses_api=True, **ADDRESS)
    responded = by_responses.invoke("What do budgets limit?")

    vectors = OpenAIEmbeddings(model="text-embedding-3-small", **ADDRESS).embed_documents(
        ["one", "two words"]
    )
    facts = {
        "chat": {"text": answer.content, "usage": usage_of(answer)},
        "tools": {"name": call["name"], "arguments": call["args"], "then": after.content},
        "structured": [type(structured).__name__, type(by_tool).__name__],
        "streaming": {"chunks": len(chunks), "text": whole.content, "usage": usage_of(whole)},
        "responses": {"text": responded.text, "usage": usage_of(responded)},
        "embeddings": [len(vector) for vector in vectors],
    }
    json.dump(facts, sys.stdout)


main()
