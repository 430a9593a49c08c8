"""What the provider refuses in a request for a fine-tuning job.

Source: OpenAI API reference, "Create fine-tuning job", and the docs, "Model optimization". Only
dated names are taken: "Model gpt-4o-mini is not available for fine-tuning or does not exist." is
how the provider refuses a short one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.simulator.errors import bad_request, invalid_type
from gateway.simulator.listing import checked_metadata, one_of, required_text

SUFFIX_CHARACTERS_MAX = 64
EPOCHS_MAX = 50
BATCH_SIZE_MAX = 256

SUPERVISED_MODELS = (
    "gpt-4o-mini-2024-07-18",
    "gpt-4o-2024-08-06",
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano-2025-04-14",
    "gpt-3.5-turbo-0125",
)
DPO_MODELS = SUPERVISED_MODELS[:-1]
REINFORCEMENT_MODELS = ("o4-mini-2025-04-16",)
_MODELS = {
    "supervised": SUPERVISED_MODELS,
    "dpo": DPO_MODELS,
    "reinforcement": REINFORCEMENT_MODELS,
}
_SHARED = ("n_epochs", "batch_size", "learning_rate_multiplier")
_OWN = {
    "supervised": (),
    "dpo": ("beta",),
    "reinforcement": (
        "compute_multiplier",
        "eval_interval",
        "eval_samples",
        "reasoning_effort",
    ),
}
_WHOLE = {"n_epochs": EPOCHS_MAX, "batch_size": BATCH_SIZE_MAX, "eval_interval": 10**6}
_SUFFIX = re.compile(r"[A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request that holds, but for its files."""

    model: str
    training_file: str
    validation_file: str | None
    method: str
    hyperparameters: dict[str, Any]
    """By name; "auto" where the request leaves a value open."""
    grader: Any
    suffix: str | None
    seed: int
    metadata: dict[str, str] | None


def job_request_of(body: Mapping[str, Any]) -> JobRequest:
    """The job that ``body`` asks for. Raises ProviderError (400)."""
    model = required_text(body, "model")
    method, given, where = _method_of(body)
    if model not in _MODELS[method]:
        raise bad_request(
            f"Model {model} is not available for fine-tuning or does not exist.",
            code="model_not_available",
        )
    suffix = body.get("suffix")
    if suffix is not None and not isinstance(suffix, str):
        raise invalid_type("suffix", "a string", suffix)
    if suffix and (len(suffix) > SUFFIX_CHARACTERS_MAX or not _SUFFIX.fullmatch(suffix)):
        raise bad_request(
            f"Invalid 'suffix': expected up to {SUFFIX_CHARACTERS_MAX} letters, digits, dots, "
            "dashes and underscores.",
            "suffix",
            "invalid_value",
        )
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise invalid_type("seed", "an integer", seed)
    validation_file = body.get("validation_file")
    if validation_file is not None and not isinstance(validation_file, str):
        raise invalid_type("validation_file", "a string", validation_file)
    return JobRequest(
        model=model,
        training_file=required_text(body, "training_file"),
        validation_file=validation_file,
        method=method,
        hyperparameters=_hyperparameters(given, method, where),
        grader=((body.get("method") or {}).get("reinforcement") or {}).get("grader"),
        suffix=suffix,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        metadata=checked_metadata(body),
    )


def _method_of(body: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    """The method, its hyperparameters, and where in the request these stand."""
    method = body.get("method")
    if method is None:
        legacy = body.get("hyperparameters") or {}
        if not isinstance(legacy, dict):
            raise invalid_type("hyperparameters", "an object", legacy)
        return "supervised", legacy, "hyperparameters"
    if not isinstance(method, dict):
        raise invalid_type("method", "an object", method)
    kind = method.get("type")
    one_of(kind, tuple(_MODELS), "method.type")
    if body.get("hyperparameters"):
        raise bad_request(
            "Setting 'hyperparameters' and 'method' at the same time is not supported.",
            "hyperparameters",
            "invalid_parameter_combination",
        )
    settings = method.get(str(kind)) or {}
    given = settings.get("hyperparameters") if isinstance(settings, dict) else settings
    where = f"method.{kind}.hyperparameters"
    if not isinstance(given, dict | None):
        raise invalid_type(where, "an object", given)
    return str(kind), given or {}, where


def _hyperparameters(given: dict[str, Any], method: str, where: str) -> dict[str, Any]:
    names = (*_SHARED, *_OWN[method])
    unknown = given.keys() - set(names)
    if unknown:
        raise bad_request(f"Unknown parameter: '{where}.{min(unknown)}'.", where)
    checked = {}
    for name in names:
        value = given.get(name)
        if value in (None, "auto"):
            checked[name] = "auto"
            continue
        if name != "reasoning_effort":
            _check_number(f"{where}.{name}", value, _WHOLE.get(name))
        checked[name] = value
    return checked


def _check_number(where: str, value: object, whole_max: int | None) -> None:
    """A number above 0, whole and up to ``whole_max`` where that is given."""
    kind = "an integer" if whole_max else "a number"
    accepted = int if whole_max else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise invalid_type(where, f"'auto' or {kind}", value)
    assert isinstance(value, int | float)
    if value <= 0 or (whole_max and value > whole_max):
        limit = f" and up to {whole_max}" if whole_max else ""
        raise bad_request(
            f"Invalid '{where}': expected {kind} above 0{limit}, but got {value} instead.",
            where,
            "invalid_value",
        )
