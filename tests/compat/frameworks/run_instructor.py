"""Instructor against an OpenAI-compatible server: prints what came back, as JSON.

Run by the interpreter of ``.venv-compat``; the address and the key come from the environment,
as users of Instructor give them. It has no calls for embeddings.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel

ADDRESS: dict[str, Any] = {
    "base_url": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def asked(text: str) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}


def usage_of(answer: Any) -> list[int]:
    return [answer.usage.prompt_tokens, answer.usage.completion_tokens]


def main() -> None:
    def client(mode: Any) -> Any:
        return instructor.from_openai(OpenAI(**ADDRESS), mode=mode)

    by_tool = client(instructor.Mode.TOOLS)
    text = by_tool.create(response_model=None, **asked("What do budgets limit?"))
    person, raw = by_tool.create_with_completion(response_model=Person, **asked("Who is Ada?"))
    (call,) = raw.choices[0].message.tool_calls
    by_schema = client(instructor.Mode.JSON_SCHEMA).create(
        response_model=Person, **asked("Who is Ada?")
    )
    responded = client(instructor.Mode.RESPONSES_TOOLS).responses.create(
        model="gpt-4o-mini", input="Who is Ada?", response_model=Person
    )
    partial = list(by_tool.create_partial(response_model=Person, **asked("Who is Grace?")))
    facts = {
        "chat": {"text": text.choices[0].message.content, "usage": usage_of(text)},
        "tools": {
            "name": call.function.name,
            "arguments": json.loads(call.function.arguments),
            "then": repr(person),
        },
        "structured": [type(person).__name__, type(by_schema).__name__],
        "responses": {"text": responded.model_dump_json()},
        "streaming": {"chunks": len(partial), "text": partial[-1].model_dump_json()},
    }
    json.dump(facts, sys.stdout)


main()
