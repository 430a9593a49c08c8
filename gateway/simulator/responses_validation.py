"""What the provider refuses in a request for a response, apart from its input items.

Source: OpenAI API reference, "Create a model response", and the error texts of the API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.simulator.errors import ProviderError, bad_request, invalid_type, missing_parameter
from gateway.simulator.listing import checked_metadata
from gateway.simulator.models import Model, find_model
from gateway.simulator.validation import check_number, check_schema

OUTPUT_TOKENS_MIN = 16
WEB_SEARCH_TOOLS = frozenset(
    {
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
INCLUDABLE = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FIELDS = frozenset(
    {
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
_RANGES: tuple[tuple[str, bool, float, float], ...] = (
    # name, whole number, smallest, largest
    ("temperature", False, 0, 2),
    ("top_p", False, 0, 1),
    ("top_logprobs", True, 0, 20),
    ("max_output_tokens", True, OUTPUT_TOKENS_MIN, 2**63),
    ("max_tool_calls", True, 1, 2**63),
)
_TYPES: tuple[tuple[str, type, str], ...] = (
    ("background", bool, "a boolean"),
    ("instructions", str, "a string"),
    ("parallel_tool_calls", bool, "a boolean"),
    ("previous_response_id", str, "a string"),
    ("prompt_cache_key", str, "a string"),
    ("reasoning", dict, "an object"),
    ("safety_identifier", str, "a string"),
    ("store", bool, "a boolean"),
    ("stream", bool, "a boolean"),
    ("stream_options", dict, "an object"),
    ("text", dict, "an object"),
    ("user", str, "a string"),
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def check_responses(body: Mapping[str, Any], strict: bool) -> Model:
    """The model asked for, once all but the input holds. Raises ProviderError (400, 404)."""
    if not body.get("model"):
        raise missing_parameter("model")
    model = find_model(body["model"])
    if model.serves != "chat":
        raise bad_request(
            f"The requested model '{model.name}' cannot be used with the Responses API.",
            "model",
            "unsupported_model",
        )
    unknown = body.keys() - _FIELDS
    if strict and unknown:
        name = min(unknown)
        raise bad_request(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name, kind, expected in _TYPES:
        if not isinstance(body.get(name), kind | None):
            raise invalid_type(name, expected, body[name])
    for name, whole, low, high in _RANGES:
        if body.get(name) is not None:
            check_number(name, body[name], whole, low, high)
    checked_metadata(body)
    _check_options(body)
    _check_abilities(body, model)
    _check_tools(body)
    _check_tool_choice(body)
    _check_form(body)
    return model


def _one_of(name: str, value: object, supported: tuple[str, ...]) -> None:
    if value is not None and value not in supported:
        listed = ", ".join(f"'{entry}'" for entry in supported[:-1])
        raise bad_request(
            f"Invalid value: '{value}'. Supported values are: {listed}, and '{supported[-1]}'.",
            name,
            "invalid_value",
        )


def _check_options(body: Mapping[str, Any]) -> None:
    _one_of("truncation", body.get("truncation"), ("auto", "disabled"))
    include = body.get("include")
    if not isinstance(include, list | None):
        raise invalid_type("include", "an array", include)
    for index, entry in enumerate(include or ()):
        _one_of(f"include[{index}]", entry, INCLUDABLE)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
        )
    if body.get("background") and body.get("store") is False:
        raise bad_request("Background mode requires 'store' to be true.", "store")
    for name, shown in (("conversation", "Conversation"), ("prompt", "Prompt")):
        if (given := body.get(name)) is not None:
            identity = given.get("id") if isinstance(given, dict) else given
            raise ProviderError(404, f"{shown} with id '{identity}' not found.", param=name)


def _check_abilities(body: Mapping[str, Any], model: Model) -> None:
    effort = (body.get("reasoning") or {}).get("effort")
    unsupported = None
    if effort is not None and not model.reasoning:
        unsupported = "reasoning.effort"
    elif model.reasoning and body.get("temperature") not in (None, 1):
        unsupported = "temperature"
    elif model.reasoning and body.get("top_logprobs"):
        unsupported = "top_logprobs"
    if unsupported is not None:
        raise bad_request(
            f"Unsupported parameter: '{unsupported}' is not supported with this model.",
            unsupported,
            "unsupported_parameter",
        )
    _one_of("reasoning.effort", effort, _EFFORTS)
    asked = body.get("max_output_tokens")
    if asked is not None and asked > model.output_max:
        raise bad_request(
            f"max_output_tokens is too large: {asked}. This model supports at most "
            f"{model.output_max} output tokens, whereas you provided {asked}.",
            "max_output_tokens",
            "invalid_value",
        )
    tier = body.get("service_tier")
    if tier not in (None, "auto", *model.tiers):
        raise bad_request(f"Invalid service_tier argument '{tier}'.", "service_tier")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if not isinstance(tools, list | None):
        raise invalid_type("tools", "an array of objects", tools)
    for index, tool in enumerate(tools or ()):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise invalid_type(where, "an object", tool)
        kind = tool.get("type")
        if kind is None:
            raise missing_parameter(f"{where}.type")
        if kind in WEB_SEARCH_TOOLS:
            continue
        if kind != "function":
            raise bad_request(
                f"Hosted tool '{kind}' is not supported with {body['model']}.", "tools"
            )
        _check_function(tool, where)


def _check_function(tool: Mapping[str, Any], where: str) -> None:
    name = tool.get("name")
    if name is None:
        raise missing_parameter(f"{where}.name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request(
            f"Invalid '{where}.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            f"{where}.name",
            "invalid_value",
        )
    if not isinstance(tool.get("parameters"), dict | None):
        raise invalid_type(f"{where}.parameters", "an object", tool["parameters"])
    if not isinstance(tool.get("description"), str | None):
        raise invalid_type(f"{where}.description", "a string", tool["description"])
    check_schema(tool.get("parameters") or {}, f"function '{name}'", f"{where}.parameters")


def _check_tool_choice(body: Mapping[str, Any]) -> None:
    choice = body.get("tool_choice")
    tools = body.get("tools") or []
    if not isinstance(choice, dict):
        _one_of("tool_choice", choice, ("none", "auto", "required"))
        if choice == "required" and not tools:
            raise bad_request(
                "Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice"
            )
        return
    kind = choice.get("type")
    if kind == "function":
        wanted: list[Any] = [choice]
    elif kind == "allowed_tools":
        _one_of("tool_choice.mode", choice.get("mode", ""), ("auto", "required"))
        wanted = choice.get("tools") or []
    elif kind in WEB_SEARCH_TOOLS:
        wanted = [{"type": kind}]
    else:
        raise bad_request(f"Invalid value: '{kind}'.", "tool_choice.type", "invalid_value")
    offered = {(tool["type"], tool.get("name")) for tool in tools}
    for entry in wanted:
        if not isinstance(entry, dict) or (entry.get("type"), entry.get("name")) not in offered:
            named = entry.get("name") or entry.get("type") if isinstance(entry, dict) else entry
            raise bad_request(
                f"Tool choice '{named}' not found in 'tools' parameter.", "tool_choice"
            )


def _check_form(body: Mapping[str, Any]) -> None:
    text = body.get("text") or {}
    _one_of("text.verbosity", text.get("verbosity"), ("low", "medium", "high"))
    form = text.get("format")
    if form is None:
        return
    if not isinstance(form, dict):
        raise invalid_type("text.format", "an object", form)
    _one_of("text.format.type", form.get("type", ""), ("text", "json_object", "json_schema"))
    if form["type"] != "json_schema":
        return
    if not isinstance(form.get("name"), str):
        raise missing_parameter("text.format.name")
    if not isinstance(form.get("schema"), dict):
        raise missing_parameter("text.format.schema")
    check_schema(form["schema"], f"response_format '{form['name']}'", "text.format.schema")
