"""Files of lines, as batches and fine-tuning jobs read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

CHAT: Final = "/v1/chat/completions"
MODEL = "gpt-4o-mini"


def lines(*rows: Mapping[str, Any]) -> bytes:
    """One row a line."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def chat_line(number: int, **rest: Any) -> dict[str, Any]:
    """A line of a batch: a chat completion."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"Question {number}: what is next?"}],
        "max_completion_tokens": 40,
        **rest,
    }
    return {"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": body}


def chat_lines(count: int, **rest: Any) -> bytes:
    """An input file of ``count`` chat completions."""
    return lines(*(chat_line(number, **rest) for number in range(count)))


def example(number: int) -> dict[str, Any]:
    """An example to train on."""
    return {
        "messages": [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": f"What comes after {number}?"},
            {"role": "assistant", "content": str(number + 1)},
        ]
    }


def examples(count: int) -> bytes:
    """A training file."""
    return lines(*(example(number) for number in range(count)))


def preference(number: int) -> dict[str, Any]:
    """An example of what is preferred."""
    return {
        "input": {"messages": [{"role": "user", "content": f"Say {number}."}]},
        "preferred_output": [{"role": "assistant", "content": f"It is {number}."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
