"""Fine-tuning jobs: the most tokens that one can train on, and the request that keeps to them.

A job is billed by the tokens of its training file times its epochs. The provider resolves
``n_epochs: "auto"`` by itself and says so afterwards, so the gateway resolves it first, by the
rule that OpenAI publishes, and writes the number into the request.

Sources: OpenAI API reference, "Create fine-tuning job"; OpenAI Cookbook, "Data preparation and
analysis for chat model fine-tuning" (epochs, and billing by tokens).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from gateway.core.batch_lines import numbered_lines
from gateway.core.bounds import BOUND_NANO_MAX, Bound
from gateway.core.catalog import ModelFacts
from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.money import divide_up
from gateway.core.prices import STANDARD_TIER, Meter, Price, Unpriced
from gateway.core.strict_json import TOKEN_VALUES_MAX, parse_object
from gateway.core.tokens import SLACK_TOKENS, Count, count_chat_prompt

BYTES_MAX = 512 * 1024 * 1024
"""Largest file that the provider takes."""
PARAM = "training_file"

KNOWN_OF_JOBS = frozenset(
    (
        "hyperparameters",
        "integrations",
        "metadata",
        "method",
        "model",
        "seed",
        "suffix",
        "training_file",
        "validation_file",
    )
)
"""OpenAI API reference, "Create fine-tuning job"."""

TARGET_EPOCHS = 3
MIN_TARGET_EXAMPLES = 100
MAX_TARGET_EXAMPLES = 25_000
MIN_DEFAULT_EPOCHS = 1
MAX_DEFAULT_EPOCHS = 25
"""The Cookbook's names and figures."""

EPOCHS_MAX = 50
METHODS = ("supervised", "dpo")


@dataclass(frozen=True, slots=True)
class Method:
    """How a job trains. ``epochs`` is None where the provider would choose."""

    kind: str
    epochs: int | None
    legacy: bool
    """Whether the request has ``hyperparameters`` and no ``method``."""


def method_of(body: Mapping[str, Any]) -> Method:
    """The method that a request names. Raises BadRequest for one that cannot be bounded."""
    method, legacy = body.get("method"), body.get("hyperparameters")
    if body.get("integrations"):
        raise BadRequest(
            "integrations cannot be used: they send the job to another service.",
            param="integrations",
        )
    if method is None:
        return Method("supervised", _epochs(legacy, "hyperparameters"), legacy is not None)
    if legacy:
        raise BadRequest(
            "Set method or hyperparameters, which is older, not both.", param="hyperparameters"
        )
    kind = method.get("type") if isinstance(method, dict) else None
    if kind not in METHODS:
        raise BadRequest(
            f"method.type must be one of {', '.join(METHODS)}: other methods are billed by the"
            " hour, which cannot be bounded.",
            param="method.type",
        )
    settings = method.get(kind)
    if settings is not None and not isinstance(settings, dict):
        raise BadRequest(f"method.{kind} must be an object.", param=f"method.{kind}")
    place = f"method.{kind}.hyperparameters"
    return Method(kind, _epochs((settings or {}).get("hyperparameters"), place), False)


def _epochs(hyperparameters: object, place: str) -> int | None:
    if hyperparameters is None:
        return None
    if not isinstance(hyperparameters, dict):
        raise BadRequest(f"{place} must be an object.", param=place)
    epochs = hyperparameters.get("n_epochs")
    if epochs is None or epochs == "auto":
        return None
    if isinstance(epochs, bool) or not isinstance(epochs, int) or not 1 <= epochs <= EPOCHS_MAX:
        raise BadRequest(
            f"n_epochs must be auto or an integer from 1 to {EPOCHS_MAX}.",
            param=f"{place}.n_epochs",
        )
    return epochs


def epochs_for(examples: int) -> int:
    """The epochs that ``auto`` stands for, by the Cookbook's rule."""
    if examples * TARGET_EPOCHS < MIN_TARGET_EXAMPLES:
        return min(MAX_DEFAULT_EPOCHS, MIN_TARGET_EXAMPLES // examples)
    if examples * TARGET_EPOCHS > MAX_TARGET_EXAMPLES:
        return max(MIN_DEFAULT_EPOCHS, MAX_TARGET_EXAMPLES // examples)
    return TARGET_EPOCHS


def with_epochs(body: Mapping[str, Any], method: Method, epochs: int) -> dict[str, Any]:
    """The request to forward: with the epochs that are held for."""
    written = dict(body)
    if method.legacy:
        written["hyperparameters"] = {**(body["hyperparameters"] or {}), "n_epochs": epochs}
        return written
    given = body.get("method") or {"type": method.kind}
    settings = given.get(method.kind) or {}
    hyperparameters = {**(settings.get("hyperparameters") or {}), "n_epochs": epochs}
    written["method"] = {**given, method.kind: {**settings, "hyperparameters": hyperparameters}}
    written.pop("hyperparameters", None)
    return written


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training file: its examples, and an upper bound of the tokens of one epoch."""

    examples: int
    tokens: int


def count_training(
    content: IO[bytes],
    method: Method,
    facts: ModelFacts,
    count: Count,
    line_bytes_max: int,
    depth_max: int,
) -> TrainingSet:
    """Count every example of a file. Raises BadRequest, naming the line.

    Examples are counted whole, although the provider cuts those that are too long. Takes about
    as long as tokenizing the file; run it where it holds up nobody.
    """
    examples = tokens = 0
    for number, raw in numbered_lines(content, line_bytes_max, PARAM, "training file"):
        try:
            example = parse_object(raw, depth_max, TOKEN_VALUES_MAX)
            examples += 1
            for body in _conversations(example, method.kind):
                tokens += _count_one(body, facts, count)
        except BadRequest as error:
            told = error.message.replace("The request body", "It")
            raise BadRequest(f"Line {number} of the training file: {told}", param=PARAM) from None
    if not examples:
        raise BadRequest("The training file has no examples.", param=PARAM)
    return TrainingSet(examples, tokens)


def _conversations(example: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    """What an example trains on, each as the body of a chat completion or as prompt and answer."""
    if kind == "supervised":
        yield example
        return
    asked = example.get("input")
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        raise BadRequest("input must be an object with a list of messages.")
    for name in ("preferred_output", "non_preferred_output"):
        output = example.get(name)
        if not isinstance(output, list):
            raise BadRequest(f"{name} must be a list of messages.")
        yield {**asked, "messages": [*asked["messages"], *output]}


def _count_one(body: Mapping[str, Any], facts: ModelFacts, count: Count) -> int:
    prompt, answer = body.get("prompt"), body.get("completion")
    if "messages" not in body and isinstance(prompt, str) and isinstance(answer, str):
        # The older format, of models that complete texts.
        return count(prompt) + count(answer) + SLACK_TOKENS
    found = count_chat_prompt(body, facts, count)
    if found.hidden:
        raise BadRequest(f"its tokens cannot be counted beforehand ({', '.join(found.hidden)}).")
    return found.tokens


def bound_training(price: Price, data: TrainingSet, epochs: int) -> Bound:
    """The bound of a job that trains ``epochs`` times on ``data``. Raises ApiError."""
    try:
        rate = price.rate(STANDARD_TIER, Meter.TRAINED_TOKENS)
    except Unpriced as error:
        raise ModelUnpriced(f"{error}, so the cost of a job cannot be bounded.") from None
    nano = divide_up(data.tokens * epochs * rate.nano, rate.per)
    if nano > BOUND_NANO_MAX:
        raise BadRequest(
            "This job could cost more than Faregate can hold for one request (about $9.0"
            " million). Train on less, or for fewer epochs.",
            param=PARAM,
        )
    return Bound(input_tokens=0, fixed_nano=nano)
