"""What the provider refuses in a chat request, in its words.

Source: OpenAI API reference, "Create chat completion", and the error texts of the API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.simulator.errors import ProviderError, bad_request, invalid_type, missing_parameter
from gateway.simulator.models import Model, find_model
from gateway.simulator.schema import instance_of

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
STOPS_MAX = 4
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_RANGES: tuple[tuple[str, bool, float, float], ...] = (
    # name, whole number, smallest, largest
    ("temperature", False, 0, 2),
    ("top_p", False, 0, 1),
    ("presence_penalty", False, -2, 2),
    ("frequency_penalty", False, -2, 2),
    ("n", True, 1, 128),
    ("top_logprobs", True, 0, 20),
    ("max_tokens", True, 1, 2**63),
    ("max_completion_tokens", True, 1, 2**63),
)


def check_chat(body: Mapping[str, Any], strict: bool) -> Model:
    """The model asked for, once the request holds. Raises ProviderError (400, 404)."""
    model = find_model(body.get("model"))
    if model.serves != "chat":
        raise ProviderError(
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions "
            "endpoint. Did you mean to use v1/completions?",
            param="model",
        )
    unknown = body.keys() - _FIELDS
    if strict and unknown:
        raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")
    for name, whole, low, high in _RANGES:
        if body.get(name) is not None:
            check_number(name, body[name], whole, low, high)
    _check_maximum(body, model)
    _check_messages(body, model)
    _check_tools(body)
    _check_form(body)
    _check_options(body, model)
    return model


def check_number(name: str, value: object, whole: bool, low: float, high: float) -> None:
    """Raise ProviderError (400) unless ``value`` is a number from ``low`` to ``high``."""
    kind = "integer" if whole else "decimal"
    article = "an" if whole else "a"
    accepted = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise invalid_type(name, f"{article} {kind}", value)
    assert isinstance(value, (int, float))
    if value < low:
        wrong, sign, bound = "below_min", ">=", low
    elif value > high:
        wrong, sign, bound = "above_max", "<=", high
    else:
        return
    side = "below minimum" if wrong == "below_min" else "above maximum"
    raise bad_request(
        f"Invalid '{name}': {kind} {side} value. Expected a value {sign} {bound}, "
        f"but got {value} instead.",
        name,
        f"{kind}_{wrong}_value",
    )


def _check_maximum(body: Mapping[str, Any], model: Model) -> None:
    old, new = body.get("max_tokens"), body.get("max_completion_tokens")
    if old is not None and new is not None:
        raise bad_request(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if old is not None and model.reasoning:
        raise bad_request(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    asked = old if old is not None else new
    if asked is not None and asked > model.output_max:
        raise bad_request(
            f"max_tokens is too large: {asked}. This model supports at most {model.output_max} "
            f"completion tokens, whereas you provided {asked}.",
            "max_tokens" if old is not None else "max_completion_tokens",
            "invalid_value",
        )


def _check_messages(body: Mapping[str, Any], model: Model) -> None:
    messages = body.get("messages")
    if messages is None:
        raise missing_parameter("messages")
    if not isinstance(messages, list):
        raise invalid_type("messages", "an array of objects", messages)
    if not messages:
        raise bad_request(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            "messages",
            "empty_array",
        )
    answerable = False
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid_type(where, "an object", message)
        role = message.get("role")
        if role is None:
            raise missing_parameter(f"{where}.role")
        if role not in ROLES:
            supported = ", ".join(f"'{name}'" for name in ROLES[:-1])
            raise bad_request(
                f"Invalid value: '{role}'. Supported values are: {supported}, and '{ROLES[-1]}'.",
                f"{where}.role",
                "invalid_value",
            )
        if role == "tool" and not answerable:
            raise bad_request(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                "message with 'tool_calls'.",
                f"messages.[{index}].role",
            )
        calls = message.get("tool_calls")
        answerable = bool(calls) or (role == "tool" and answerable)
        _check_calls(calls, where)
        _check_content(message, index, optional=role in ("assistant", "function"), model=model)


def _check_calls(calls: object, where: str) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise invalid_type(f"{where}.tool_calls", "an array of objects", calls)
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise missing_parameter(f"{where}.tool_calls[0].function")
        for name in ("name", "arguments"):
            if not isinstance(function.get(name), str):
                raise missing_parameter(f"{where}.tool_calls[0].function.{name}")


def _check_content(message: Mapping[str, Any], index: int, *, optional: bool, model: Model) -> None:
    content = message.get("content")
    where = f"messages.[{index}].content"
    if isinstance(content, str) or (content is None and optional):
        return
    if not isinstance(content, list) or not content:
        shown = "null" if content is None else type(content).__name__
        raise bad_request(f"Invalid value for 'content': expected a string, got {shown}.", where)
    for position, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url" and model.vision:
            image = part.get("image_url")
            if not isinstance(image, dict) or not isinstance(image.get("url"), str):
                raise missing_parameter(f"{where}[{position}].image_url.url")
        elif kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
            raise bad_request(
                f"Invalid content type. {kind} is only supported by certain models.",
                f"{where}.[{position}].type",
            )


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if tools is None:
        if body.get("tool_choice") not in (None, "none"):
            raise bad_request(
                "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' "
                "are specified.",
                "tool_choice",
            )
    elif not isinstance(tools, list):
        raise invalid_type("tools", "an array of objects", tools)
    elif not tools:
        raise bad_request(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            "tools",
            "empty_array",
        )
    for index, tool in enumerate(tools or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise missing_parameter(f"tools[{index}].function")
        name = function.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request(
                f"Invalid 'tools[{index}].function.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                f"tools[{index}].function.name",
                "invalid_value",
            )
        where = f"tools[{index}].function"
        if not isinstance(function.get("parameters"), dict | None):
            raise invalid_type(f"{where}.parameters", "an object", function["parameters"])
        if not isinstance(function.get("description"), str | None):
            raise invalid_type(f"{where}.description", "a string", function["description"])
        check_schema(function.get("parameters") or {}, f"function '{name}'", f"{where}.parameters")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        if wanted not in {tool["function"]["name"] for tool in tools or ()}:
            raise bad_request(
                f"Tool choice '{wanted}' not found in 'tools' parameter.", "tool_choice"
            )


def check_schema(schema: object, owner: str, where: str) -> None:
    """Refuse a schema that no instance can be made of."""
    try:
        instance_of(schema)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError):
        raise bad_request(
            f"Invalid schema for {owner}.", where, "invalid_function_parameters"
        ) from None


def _check_form(body: Mapping[str, Any]) -> None:
    form = body.get("response_format")
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        if "json" not in str(body["messages"]).lower():
            raise bad_request(
                "'messages' must contain the word 'json' in some form, to use 'response_format' "
                "of type 'json_object'.",
                "messages",
            )
    elif kind == "json_schema":
        schema = form.get("json_schema")
        if not isinstance(schema, dict):
            raise missing_parameter("response_format.json_schema")
        if not isinstance(schema.get("name"), str):
            raise missing_parameter("response_format.json_schema.name")
        where = "response_format.json_schema.schema"
        check_schema(schema.get("schema") or {}, f"response_format '{schema['name']}'", where)
    elif kind != "text":
        raise bad_request(
            f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and "
            "'text'.",
            "response_format.type",
            "invalid_value",
        )


def _check_options(body: Mapping[str, Any], model: Model) -> None:
    if body.get("stream_options") is not None and not body.get("stream"):
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
        )
    for name in ("stream_options", "prediction"):
        if not isinstance(body.get(name), dict | None):
            raise invalid_type(name, "an object", body[name])
    predicted = (body.get("prediction") or {}).get("content", "")
    if not isinstance(predicted, str) and not _are_texts(predicted):
        raise invalid_type("prediction.content", "a string or an array of texts", predicted)
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise bad_request("'top_logprobs' requires 'logprobs' to be true.", "top_logprobs")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is not None and (
        not isinstance(stops, list)
        or len(stops) > STOPS_MAX
        or not all(isinstance(entry, str) for entry in stops)
    ):
        raise bad_request(f"Invalid 'stop': expected up to {STOPS_MAX} strings.", "stop")
    if model.reasoning and body.get("temperature") not in (None, 1):
        raise bad_request(
            f"Unsupported value: 'temperature' does not support {body['temperature']} with this "
            "model. Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        )
    effort = body.get("reasoning_effort")
    if effort is not None and not model.reasoning:
        raise bad_request(
            "Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"
        )
    if effort is not None and effort not in _EFFORTS:
        raise bad_request(f"Invalid value: '{effort}'.", "reasoning_effort", "invalid_value")
    tier = body.get("service_tier")
    if tier not in (None, "auto", *model.tiers):
        raise bad_request(f"Invalid service_tier argument '{tier}'.", "service_tier")


def _are_texts(parts: object) -> bool:
    return isinstance(parts, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts
    )
