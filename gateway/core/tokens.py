"""Upper bounds of the input tokens that the provider will bill for a request.

OpenAI publishes how messages are framed (Cookbook, "How to count tokens with tiktoken") and
not how tools, schemas and tool calls are written into the prompt; those are bounded from
above by their JSON and margins, checked against token counts that the API has returned.
What cannot be counted is named in ``PromptBound.hidden``; the caller then bounds the prompt
by the context window.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.catalog import ModelFacts
from gateway.core.chat_fields import KNOWN
from gateway.core.definitions import compact_json, definition_tokens
from gateway.core.errors import BadRequest
from gateway.core.images import size_of
from gateway.core.money import divide_up

Count = Callable[[str], int]
"""The tokens of a text in the model's encoding."""

REPLY_TOKENS = 3
"""Every reply is primed with the start of an assistant message. Source: Cookbook."""

MESSAGE_TOKENS = 3
NAME_TOKENS = 1
"""Framing of a message, and of its name. Source: Cookbook."""

SLACK_TOKENS = 4
"""Framing is not guaranteed to stay the same between snapshots; it has varied by two."""

UNKNOWN_TEMPLATE_TOKENS = 64
UNKNOWN_MESSAGE_TOKENS = 8
"""Framing by the chat template of a model whose tokenizer is not known."""

PART_TOKENS = 3
"""Framing of each further content part, and of an image or a recording."""

CALL_TOKENS = 20
"""Framing of a tool call and of its result, with the wrapper that holds parallel calls."""

TOOLS_TOKENS = 16
"""What any tools add: the namespace they are declared in, a system message to hold them."""

PARALLEL_TOOLS_TOKENS = 200
"""``multi_tool_use``, a tool (195 tokens) that OpenAI adds beside two or more functions."""

CHOICE_TOKENS = 8
SCHEMA_TOKENS = 32
"""Framing of a forced tool choice, and of a response schema."""

AUDIO_TOKENS_PER_SECOND = 10
"""Recordings are one token per 100 ms. Source: OpenAI, "Managing costs" (Realtime guide)."""

MP3_BYTES_PER_SECOND_MIN = 1_000
"""The lowest bit rate of the MP3 format is 8 kbit/s."""

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
"""Roles that are one token in every encoding."""


@dataclass(frozen=True, slots=True)
class PromptBound:
    """Upper bounds of a prompt. ``tokens`` includes the audio and image tokens."""

    tokens: int
    audio_tokens: int = 0
    image_tokens: int = 0
    predicted_tokens: int = 0
    """Tokens of the prediction: those the answer rejects are billed as output."""
    hidden: tuple[str, ...] = ()
    """What else the provider puts in the prompt that cannot be counted, and where."""


def count_chat_prompt(body: Mapping[str, Any], facts: ModelFacts, count: Count) -> PromptBound:
    """The bound of the prompt of a chat completion for the model of ``facts``.

    Raises BadRequest, naming the place, where the body is not of the shape that the
    provider documents. Fields that are not known here are counted as text.
    """
    tally = _Tally(facts, count)
    tally.add_messages(body.get("messages"))
    tally.add_tools(body)
    tally.add_format(body.get("response_format"))
    options = body.get("web_search_options")
    if options:
        tally.tokens += count(compact_json(options, "web_search_options")) + CHOICE_TOKENS
    for name in body.keys() - KNOWN:
        tally.tokens += count(compact_json(body[name], name))
    if not facts.tokenizer_known:
        # Nor is the chat template known; some write a system message of their own.
        tally.tokens += max(facts.template_tokens, UNKNOWN_TEMPLATE_TOKENS)
        tally.tokens += UNKNOWN_MESSAGE_TOKENS * len(body["messages"])
    return PromptBound(
        tokens=tally.tokens + REPLY_TOKENS + SLACK_TOKENS,
        audio_tokens=tally.audio_tokens,
        image_tokens=tally.image_tokens,
        predicted_tokens=_predicted_tokens(body.get("prediction"), count),
        hidden=tuple(tally.hidden),
    )


def count_embedding_input(value: object, count: Count) -> list[int]:
    """The tokens of each input: a string, strings, token ids, or lists of token ids.

    Raises BadRequest for anything else and for an empty list.
    """
    if isinstance(value, str):
        return [count(value)]
    if not isinstance(value, list):
        raise BadRequest("input must be a string, a list of strings, or token ids.", param="input")
    if not value:
        raise BadRequest("input must not be an empty list.", param="input")
    if isinstance(value[0], int):
        return [_token_ids(value, "input")]
    counts = []
    for index, item in enumerate(value):
        place = f"input[{index}]"
        if isinstance(item, str) and isinstance(value[0], str):
            counts.append(count(item))
        elif isinstance(item, list) and item and isinstance(value[0], list):
            counts.append(_token_ids(item, place))
        else:
            raise BadRequest(
                f"{place} must be a string or a non-empty list of token ids, like the others.",
                param=place,
            )
    return counts


def _token_ids(value: list[Any], place: str) -> int:
    if not all(type(token) is int and token >= 0 for token in value):
        raise BadRequest(f"{place} must hold token ids only.", param=place)
    return len(value)


class _Tally:
    """The sum of one prompt while it is counted."""

    __slots__ = ("audio_tokens", "count", "facts", "hidden", "image_tokens", "parallel", "tokens")

    def __init__(self, facts: ModelFacts, count: Count) -> None:
        self.facts = facts
        self.count = count
        self.tokens = 0
        self.audio_tokens = 0
        self.image_tokens = 0
        self.hidden: list[str] = []
        self.parallel = False
        """Whether the results of several calls of one message follow."""

    def add_messages(self, messages: object) -> None:
        if not isinstance(messages, list) or not messages:
            raise BadRequest("messages must be a non-empty list.", param="messages")
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                place = f"messages[{index}]"
                raise BadRequest(f"{place} must be an object.", param=place)
            self._add_message(message, index)

    def _add_message(self, message: dict[str, Any], index: int) -> None:
        role = message.get("role")
        if not isinstance(role, str):
            place = f"messages[{index}].role"
            raise BadRequest(f"{place} must be a string.", param=place)
        self.tokens += MESSAGE_TOKENS + (1 if role in _ROLES else self.count(role))
        if role != "tool":
            self.parallel = False
        for key, value in message.items():
            if value is None or key == "role":
                continue
            if key == "content":
                self._add_content(value, index)
            elif key == "tool_calls":
                self._add_calls(value, f"messages[{index}].tool_calls")
            elif key == "function_call":
                self._add_call(value, f"messages[{index}].function_call")
            elif key == "audio":
                self.hidden.append(f"messages[{index}].audio: an earlier spoken answer")
            elif isinstance(value, str):
                self.tokens += self.count(value) + NAME_TOKENS
            elif isinstance(value, (dict, list)) and value:
                self.tokens += self.count(compact_json(value, f"messages[{index}].{key}"))

    def _add_content(self, content: object, index: int) -> None:
        if isinstance(content, str):
            self.tokens += self._text(content)
            return
        if not isinstance(content, list):
            place = f"messages[{index}].content"
            raise BadRequest(f"{place} must be a string or a list of parts.", param=place)
        for number, part in enumerate(content):
            place = f"messages[{index}].content[{number}]"
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise BadRequest(f"{place} must be an object with a type.", param=place)
            if number:
                self.tokens += PART_TOKENS
            self._add_part(part, place)

    def _add_part(self, part: dict[str, Any], place: str) -> None:
        kind = part["type"]
        if kind in ("text", "refusal"):
            text = part.get(kind)
            if not isinstance(text, str):
                raise BadRequest(f"{place}.{kind} must be a string.", param=f"{place}.{kind}")
            self.tokens += self._text(text)
        elif kind == "image_url":
            self._add_image(part.get("image_url"), place)
        elif kind == "input_audio":
            self._add_audio(part.get("input_audio"), place)
        elif kind == "file":
            self.hidden.append(f"{place}: a file")
        else:
            self.tokens += self.count(compact_json(part, place))
            self.hidden.append(f"{place}: a part of type {kind[:40]!r}")

    def _add_image(self, image: object, place: str) -> None:
        detail: object = None
        url = image
        if isinstance(image, dict):
            url, detail = image.get("url"), image.get("detail")
        if not isinstance(url, str):
            raise BadRequest(f"{place}.image_url must have a url.", param=f"{place}.image_url")
        rule = self.facts.image_rule
        if rule is None:
            self.hidden.append(f"{place}: an image, for a model without a known image price rule")
            return
        tokens = rule.tokens(size_of(url), detail if isinstance(detail, str) else "auto")
        self.image_tokens += tokens
        self.tokens += tokens + PART_TOKENS

    def _add_audio(self, audio: object, place: str) -> None:
        place = f"{place}.input_audio"
        if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
            raise BadRequest(f"{place} must have base64 data.", param=place)
        tokens = _audio_tokens(audio["data"], audio.get("format"))
        if tokens is None:
            self.hidden.append(f"{place}: a recording that is neither wav nor mp3")
            return
        self.audio_tokens += tokens
        self.tokens += tokens + PART_TOKENS

    def _add_calls(self, calls: object, place: str) -> None:
        if not isinstance(calls, list):
            raise BadRequest(f"{place} must be a list.", param=place)
        self.parallel = len(calls) > 1
        for index, call in enumerate(calls):
            self._add_call(call, f"{place}[{index}]")

    def _add_call(self, call: object, place: str) -> None:
        """A call's name counts twice: its result is headed by it too."""
        if not isinstance(call, dict):
            raise BadRequest(f"{place} must be an object.", param=place)
        self.tokens += CALL_TOKENS
        for value in (call, call.get("function"), call.get("custom")):
            if isinstance(value, dict):
                for key, text in value.items():
                    if isinstance(text, str):
                        self.tokens += self._text(text) * (2 if key == "name" else 1)
                    elif key not in ("function", "custom") and isinstance(text, (dict, list)):
                        self.tokens += self.count(compact_json(text, place))

    def _text(self, text: str) -> int:
        """The tokens of a text, which OpenAI escapes in calls and results made in parallel.

        There every character outside ASCII becomes a ``\\uXXXX`` of about four tokens. Source:
        community.openai.com/t/816259 and /t/1375117, which this count reproduces.
        """
        if not self.parallel:
            return self.count(text)
        return max(self.count(text), self.count(json.dumps(text)))

    def add_tools(self, body: Mapping[str, Any]) -> None:
        """Tools, the older functions, and what forces one of them."""
        declared = 0
        for field in ("tools", "functions"):
            definitions = body.get(field)
            if definitions is None:
                continue
            if not isinstance(definitions, list):
                raise BadRequest(f"{field} must be a list.", param=field)
            for index, definition in enumerate(definitions):
                place = f"{field}[{index}]"
                if not isinstance(definition, dict):
                    raise BadRequest(f"{place} must be an object.", param=place)
                self.tokens += definition_tokens(definition, self.count, place)
            declared += len(definitions)
        if declared:
            self.tokens += TOOLS_TOKENS
        if declared > 1 and body.get("parallel_tool_calls") is not False:
            self.tokens += PARALLEL_TOOLS_TOKENS
        for field in ("tool_choice", "function_call"):
            choice = body.get(field)
            if choice is not None and choice != "auto":
                self.tokens += self.count(compact_json(choice, field)) + CHOICE_TOKENS

    def add_format(self, response_format: object) -> None:
        """The schema that an answer must follow is part of the prompt."""
        if response_format is None:
            return
        if not isinstance(response_format, dict):
            raise BadRequest("response_format must be an object.", param="response_format")
        kind = response_format.get("type")
        if kind == "json_object":
            self.tokens += CHOICE_TOKENS
        elif kind != "text":
            self.tokens += SCHEMA_TOKENS
            self.tokens += definition_tokens(response_format, self.count, "response_format")


def _predicted_tokens(prediction: object, count: Count) -> int:
    """The tokens of ``prediction.content``, a string or text parts; never part of the prompt."""
    if prediction is None:
        return 0
    content = prediction.get("content") if isinstance(prediction, dict) else None
    if isinstance(content, str):
        return count(content)
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return sum(count(text) + PART_TOKENS for text in texts if text is not None)
    raise BadRequest(
        "prediction.content must be a string or a list of text parts.", param="prediction.content"
    )


def _audio_tokens(data: str, kind: object) -> int | None:
    """Tokens of a base64 recording, from the longest time its bytes can play; None if unknown."""
    size = len(data) * 3 // 4
    if kind == "wav":
        per_second = _wav_bytes_per_second(data)
    elif kind == "mp3":
        per_second = MP3_BYTES_PER_SECOND_MIN
    else:
        return None
    if per_second is None:
        return None
    return divide_up(size * AUDIO_TOKENS_PER_SECOND, per_second) + AUDIO_TOKENS_PER_SECOND


def _wav_bytes_per_second(data: str) -> int | None:
    """Bytes of a second of an uncompressed WAV file; None for anything else.

    It is worked out from the sample rate, the channels and the sample size, from which a
    player takes the time; the header's own byte rate may say anything.
    """
    try:
        start = base64.b64decode(data[:4_096] + "=" * (-len(data[:4_096]) % 4))
        if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
            return None
        position = 12
        while start[position : position + 4] != b"fmt ":
            position += 8 + int.from_bytes(start[position + 4 : position + 8], "little")
            if position >= len(start):
                return None
        codec, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", start, position + 8)
        if codec == 0xFFFE:  # extensible: the codec opens the sub-format
            codec = struct.unpack_from("<H", start, position + 32)[0]
    except (binascii.Error, ValueError, struct.error):
        return None
    per_second: int = rate * channels * bits // 8
    return per_second if codec in (1, 3) and per_second > 0 else None
