"""Training files: their examples, and how many tokens a job trains on.

The rule for ``trained_tokens``: each conversation of the file is counted as the prompt of a chat
request would be (gateway/simulator/counting.py: 3 tokens a message, role, content and name, tools
and calls, and 3 that prime a reply), cut at the longest example that the model trains on; the sum
over all conversations is taken once an epoch. An example for ``dpo`` is two conversations, the
input with the preferred and with the other output. The validation file is not counted.

Sources: OpenAI docs, "Supervised fine-tuning" and "Direct preference optimization" (formats, at
least 10 examples, example lengths); OpenAI Cookbook, "Data preparation and analysis for chat
model fine-tuning" (epochs, billing by tokens cut at the maximum length).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.blobs import Blob
from gateway.simulator.counting import count_prompt
from gateway.simulator.errors import ProviderError
from gateway.simulator.models import Model
from gateway.simulator.validation import ROLES

EXAMPLES_MIN = 10
EXAMPLE_TOKENS_MAX = 65_536
EXAMPLE_TOKENS_MAX_OLD = 16_385
"""Of gpt-3.5-turbo."""

EPOCHS_TARGET = 3
EPOCHS_MAX = 25
EXAMPLES_TARGET_MIN = 100
EXAMPLES_TARGET_MAX = 25_000


class BadTrainingFile(Exception):
    """A job cannot train on a file; ``code`` is that of the job's ``error``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a training file holds; ``tokens`` are those of one epoch."""

    examples: int
    tokens: int


def read_training_data(
    content: Blob, method: str, model: Model, tokenizer: Tokenizer
) -> TrainingData:
    """Check and count a file. Raises BadTrainingFile."""
    longest = EXAMPLE_TOKENS_MAX_OLD if model.name == "gpt-3.5-turbo" else EXAMPLE_TOKENS_MAX
    examples = tokens = 0
    for number, raw in enumerate(content.lines(), start=1):
        if not raw.strip():
            continue
        examples += 1
        for conversation in _conversations(raw, number, method):
            try:
                tools = _tools_of(conversation)
                counted = count_prompt(model, tokenizer, conversation, tools).tokens
            except (ProviderError, LookupError, TypeError, AttributeError, ValueError):
                raise _invalid(number, "it cannot be read as messages and tools") from None
            tokens += min(counted, longest)
    if examples < EXAMPLES_MIN:
        raise BadTrainingFile(
            "invalid_n_examples",
            f"Training file has {examples} example(s), but must have at least {EXAMPLES_MIN} "
            "examples",
        )
    return TrainingData(examples, tokens)


def epochs_for(examples: int) -> int:
    """The number of epochs that "auto" stands for, by the Cookbook's rule."""
    if examples * EPOCHS_TARGET < EXAMPLES_TARGET_MIN:
        return min(EPOCHS_MAX, EXAMPLES_TARGET_MIN // examples)
    if examples * EPOCHS_TARGET > EXAMPLES_TARGET_MAX:
        return max(1, EXAMPLES_TARGET_MAX // examples)
    return EPOCHS_TARGET


def _conversations(raw: bytes, number: int, method: str) -> Iterator[dict[str, Any]]:
    """What one line trains on, each with ``messages``. Raises BadTrainingFile."""
    try:
        example = orjson.loads(raw)
    except ValueError:
        raise _invalid(number, "it is not valid JSON") from None
    if not isinstance(example, dict):
        raise _invalid(number, "it is not an object")
    if method == "dpo":
        given = example.get("input")
        if not isinstance(given, dict):
            raise _invalid(number, "it has no 'input'")
        messages = _checked(given.get("messages"), number, "input.messages")
        for name in ("preferred_output", "non_preferred_output"):
            output = _checked(example.get(name), number, name)
            yield {**given, "messages": [*messages, *output]}
        return
    messages = _checked(example.get("messages"), number, "messages")
    answered = any(message["role"] == "assistant" for message in messages)
    if method == "supervised" and not answered:
        raise _invalid(number, "it must have at least one message from the assistant")
    yield {**example, "messages": messages, "response_format": None}


def _checked(messages: object, number: int, name: str) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise _invalid(number, f"it has no '{name}'")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise _invalid(number, f"message {index} of '{name}' has no known role")
        content = message.get("content")
        calls = message.get("tool_calls") or message.get("function_call")
        if not isinstance(content, str | list) and not (content is None and calls):
            raise _invalid(number, f"message {index} of '{name}' has no content")
    return messages


def _tools_of(conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """The tools of an example; legacy functions count the same."""
    functions = conversation.get("functions") or []
    return [*(conversation.get("tools") or []), *({"function": entry} for entry in functions)]


def _invalid(number: int, reason: str) -> BadTrainingFile:
    return BadTrainingFile(
        "invalid_training_file",
        f"The job failed due to an invalid training file. Invalid file format. Example {number}: "
        f"{reason}.",
    )
