"""The litellm SDK against an OpenAI-compatible server: prints what came back, as JSON.

Run by the interpreter of ``.venv-compat``; the address and the key come from the environment,
as users of litellm give them.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# Its list of prices is of no use here; by default it is fetched when the package is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from pydantic import BaseModel

MODEL = "openai/gpt-4o-mini"
ADDRESS: dict[str, Any] = {
    "api_base": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def asked(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def usage_of(answer: Any) -> list[int]:
    return [answer.usage.prompt_tokens, answer.usage.completion_tokens]


def main() -> None:
    def complete(messages: list[Any], **rest: Any) -> Any:
        return litellm.completion(model=MODEL, messages=messages, **ADDRESS, **rest)

    answer = complete(asked("What do budgets limit?"))

    question = asked("Please call the tool.")
    calling = complete(question, tools=[WEATHER]).choices[0].message
    (call,) = calling.tool_calls
    told = {"role": "tool", "tool_call_id": call.id, "content": "It rains."}
    after = complete([*question, calling, told], tools=[WEATHER])

    structured = complete(asked("Who is Ada?"), response_format=Person)
    person = Person.model_validate_json(structured.choices[0].message.content)

    chunks = list(
        complete(asked("What is a window?"), stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    used = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]

    responded = litellm.responses(model=MODEL, input="What do budgets limit?", **ADDRESS)

    vectors = litellm.embedding(
        model="openai/text-embedding-3-small", input=["one", "two words"], **ADDRESS
    )
    arguments = json.loads(call.function.arguments)
    facts = {
        "chat": {"text": answer.choices[0].message.content, "usage": usage_of(answer)},
        "tools": {
            "name": call.function.name,
            "arguments": arguments,
            "then": after.choices[0].message.content,
        },
        "structured": [type(person).__name__],
        "streaming": {
            "chunks": len(chunks),
            "text": text,
            "usage": [used[-1].prompt_tokens, used[-1].completion_tokens],
        },
        "responses": {
            "text": responded.output_text,
            "usage": [responded.usage.input_tokens, responded.usage.output_tokens],
        },
        "embeddings": [len(entry["embedding"]) for entry in vectors.data],
    }
    json.dump(facts, sys.stdout)


main()
