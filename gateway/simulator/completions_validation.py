"""What the provider refuses in a legacy completions request, and the prompts in one.

Source: OpenAI API reference, "Create completion", and the error texts of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.errors import ProviderError, bad_request, invalid_type
from gateway.simulator.models import Model, find_model
from gateway.simulator.validation import STOPS_MAX, check_number

PROMPTS_MAX = 2_048
PROMPT_DEFAULT = "<|endoftext|>"
PROMPT_DEFAULT_TOKEN = 100_257
"""The token of ``PROMPT_DEFAULT``, which stands for an empty document."""

_SUFFIX_MODEL = "gpt-3.5-turbo-instruct"
_FIELDS = frozenset(
    {
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "presence_penalty",
        "prompt",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
        "user",
    }
)
_RANGES: tuple[tuple[str, bool, float, float], ...] = (
    # name, whole number, smallest, largest
    ("temperature", False, 0, 2),
    ("top_p", False, 0, 1),
    ("presence_penalty", False, -2, 2),
    ("frequency_penalty", False, -2, 2),
    ("n", True, 1, 128),
    ("best_of", True, 1, 20),
    ("logprobs", True, 0, 5),
    ("max_tokens", True, 0, 2**63),
)


@dataclass(frozen=True, slots=True)
class Prompts:
    """The token ids of each prompt, and the tokens that a suffix adds to each."""

    ids: list[list[int]]
    suffix_tokens: int


def check_completions(body: Mapping[str, Any], strict: bool) -> Model:
    """The model asked for, once the request holds. Raises ProviderError (400, 404)."""
    model = find_model(body.get("model"))
    if model.serves == "chat":
        raise ProviderError(
            404,
            "This is a chat model and not supported in the v1/completions endpoint. "
            "Did you mean to use v1/chat/completions?",
            param="model",
        )
    if model.serves != "completions":
        raise ProviderError(
            404, "This model is not supported in the v1/completions endpoint.", param="model"
        )
    unknown = body.keys() - _FIELDS
    if strict and unknown:
        raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")
    for name, whole, low, high in _RANGES:
        if body.get(name) is not None:
            check_number(name, body[name], whole, low, high)
    _check_counts(body)
    _check_texts(body, model)
    options = body.get("stream_options")
    if options is not None and not body.get("stream"):
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
        )
    if not isinstance(options, dict | None):
        raise invalid_type("stream_options", "an object", options)
    return model


def _check_counts(body: Mapping[str, Any]) -> None:
    best_of = body.get("best_of")
    if best_of is None:
        return
    if best_of < (body.get("n") or 1):
        raise bad_request(
            "You requested that the server return more choices than it will generate "
            "(HINT: you must set 'n' (currently "
            f"{body.get('n') or 1}) to be at most 'best_of' (currently {best_of}), "
            "or omit either parameter if you don't specifically want to use them.)",
            "best_of",
        )
    if body.get("stream") and best_of > (body.get("n") or 1):
        raise bad_request("Results cannot be streamed when 'best_of' exceeds 'n'.", "best_of")


def _check_texts(body: Mapping[str, Any], model: Model) -> None:
    suffix = body.get("suffix")
    if not isinstance(suffix, str | None):
        raise invalid_type("suffix", "a string", suffix)
    if suffix and model.name != _SUFFIX_MODEL:
        raise bad_request("This model does not support insertion with 'suffix'.", "suffix")
    if suffix and body.get("echo"):
        raise bad_request("You cannot use 'suffix' and 'echo' together.", "echo")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is not None and (
        not isinstance(stops, list)
        or len(stops) > STOPS_MAX
        or not all(isinstance(entry, str) for entry in stops)
    ):
        raise bad_request(f"Invalid 'stop': expected up to {STOPS_MAX} strings.", "stop")


def prompts_of(body: Mapping[str, Any], model: Model, tokenizer: Tokenizer) -> Prompts:
    """The prompts of a request. Raises ProviderError (400) for what is none.

    Unpublished: a suffix counts as prompt tokens, once for each prompt.
    """
    suffix = body.get("suffix") or ""
    given = body.get("prompt")
    if given is None or given == PROMPT_DEFAULT:
        prompts: list[list[int]] = [[PROMPT_DEFAULT_TOKEN]]
    elif isinstance(given, str):
        prompts = [tokenizer.encode(given, model.encoding)]
    elif isinstance(given, list) and given and all(_is_token(entry) for entry in given):
        prompts = [given]
    elif isinstance(given, list) and 1 <= len(given) <= PROMPTS_MAX:
        prompts = [_ids_of(entry, model, tokenizer) for entry in given]
    else:
        raise invalid_type("prompt", "a string or an array", given)
    return Prompts(prompts, len(tokenizer.encode(suffix, model.encoding)))


def _ids_of(entry: object, model: Model, tokenizer: Tokenizer) -> list[int]:
    if isinstance(entry, str):
        return tokenizer.encode(entry, model.encoding)
    if isinstance(entry, list) and entry and all(_is_token(token) for token in entry):
        return entry
    raise bad_request("'$.prompt' is invalid. Please check the API reference.", "prompt")


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 100_277
