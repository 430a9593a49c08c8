"""Worst-case cost of a request, and the rewriting that makes the worst case true.

A bound has a fixed part (prompt, fees) and a part per output token. The output part is
enforced by writing the granted maximum into the forwarded request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

from gateway.core.catalog import ModelFacts
from gateway.core.chat_fields import refuse_unbounded
from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.money import divide_up
from gateway.core.policy import Client
from gateway.core.prices import STANDARD_TIER, Meter, Price, Unpriced, cost_of
from gateway.core.request_fields import integer_of
from gateway.core.tokens import PromptBound
from gateway.core.usage import Usage

CHOICES_MAX = 128
OUTPUT_TOKENS_MAX = 10_000_000
BOUND_NANO_MAX = 2**53 - 1
UNKNOWN_INPUT_TOKENS = 4
"""Framing of an embedding's input by a tokenizer that is not known: BERT's adds two."""

_INPUT_METERS = (
    Meter.INPUT,
    Meter.CACHE_WRITE,
    Meter.CACHED_INPUT,
    Meter.AUDIO_INPUT,
    Meter.IMAGE_INPUT,
)
TIERS_ASKABLE = ("auto", "default", "flex", "priority")


@dataclass(frozen=True, slots=True)
class BoundRules:
    """The deployment's part in bounding: see the settings of the same names."""

    output_floor_tokens: int
    auto_service_tier: str
    output_limit_field: str


@dataclass(frozen=True, slots=True)
class Bound:
    """Upper bound of one request's cost, before it is sent. Amounts in nano-dollars."""

    input_tokens: int
    fixed_nano: int
    output_token_nano: int = 0
    choices: int = 1
    wanted_output_tokens: int = 0
    """Per choice: what the client asked for, else its default, else the model's maximum."""
    floor_output_tokens: int = 0
    """Per choice: a budget that affords fewer refuses."""
    limit_field: str | None = None
    """The request field that carries the granted maximum; None where there is no output."""
    tier: str = STANDARD_TIER
    """The service tier that an answer which names none is billed at."""
    tier_to_write: str | None = None
    web_search_calls: int = 0
    """Searches that the fixed part pays for; providers bill them without reporting them."""
    tool_calls: int = 0
    """Calls of the provider's tools that the fixed part pays for: what ``max_tool_calls`` says."""

    @property
    def worst_nano(self) -> int:
        """The whole cost if every wanted output token is produced."""
        return self.nano_for(self.wanted_output_tokens)

    @property
    def least_nano(self) -> int:
        """The least that can be held: the fixed part and the floor."""
        return self.nano_for(self.floor_output_tokens)

    def nano_for(self, output_tokens: int) -> int:
        """The cost bound when each choice may have ``output_tokens`` tokens."""
        return self.fixed_nano + self.output_token_nano * self.choices * output_tokens


def bound_chat(
    body: Mapping[str, Any],
    price: Price,
    facts: ModelFacts,
    prompt: PromptBound,
    client: Client,
    rules: BoundRules,
) -> Bound:
    """The bound of a chat completion. Raises BadRequest or ModelUnpriced where none exists."""
    refuse_unbounded(body)
    tiers = tiers_of(body, price, rules)
    choices = integer_of(body, "n", 1, CHOICES_MAX) or 1
    searches = 1 if _searches_web(body) else 0
    tokens = prompt.tokens
    if prompt.hidden or searches:
        tokens = max(
            tokens,
            context_window_of(
                price, facts, prompt.hidden or ("web search results",), body.get("model")
            ),
        )
    try:
        fixed = prompt_nano(price, tiers, tokens, prompt)
        output = max(output_nano(price, tier, tokens, _forms(body)) for tier in tiers)
        fixed += prompt.predicted_tokens * choices * output
        if searches:
            rates = [price.rate(tier, Meter.WEB_SEARCH_CALLS) for tier in tiers]
            fixed += max(divide_up(r.highest_up_to(tokens) * choices, r.per) for r in rates)
    except Unpriced as error:
        raise unpriced(price, str(error)) from error
    wanted, floor, field = _output_tokens(body, price, facts, prompt.tokens, client, rules)
    bound = Bound(
        input_tokens=tokens,
        fixed_nano=fixed,
        output_token_nano=output,
        choices=choices,
        wanted_output_tokens=wanted,
        floor_output_tokens=floor,
        limit_field=field,
        tier=tiers[0],
        tier_to_write=tier_to_write_for(body, price, tiers[0], rules),
        web_search_calls=searches * choices,
    )
    return checked(bound)


def bound_embedding(price: Price, counts: Sequence[int], facts: ModelFacts) -> Bound:
    """The bound of an embedding request whose inputs have at most ``counts`` tokens each."""
    tokens = sum(counts)
    if not facts.tokenizer_known:
        tokens += UNKNOWN_INPUT_TOKENS * len(counts)
    try:
        rate = price.rate(STANDARD_TIER, Meter.INPUT)
    except Unpriced as error:
        raise unpriced(price, str(error)) from error
    nano = divide_up(tokens * rate.highest_up_to(tokens), rate.per)
    return checked(Bound(input_tokens=tokens, fixed_nano=nano))


def bound_of_usage(price: Price, *most: Usage, tier: str = STANDARD_TIER) -> Bound:
    """The bound of a request whose usage is at most one of ``most``, count by count.

    Nothing of it is left to grant: it is for work whose amount no field of the request limits,
    such as pictures and sound. Raises ModelUnpriced where a count has no rate in ``tier``.
    """
    try:
        nano = max(cost_of(price, usage, tier).nano for usage in most)
    except Unpriced as error:
        raise unpriced(price, str(error)) from error
    tokens = max(usage.input_tokens for usage in most)
    return checked(Bound(input_tokens=tokens, fixed_nano=nano, tier=tier))


FREE = Bound(input_tokens=0, fixed_nano=0)
"""The bound of a request that the provider does not bill."""


def rewritten_chat(body: Mapping[str, Any], bound: Bound, granted: int) -> dict[str, Any]:
    """The request to forward: the granted maximum, the tier held for, and stream usage asked."""
    forwarded = dict(body)
    if bound.limit_field is not None:
        # The one field that the provider is known to obey, and no other beside it.
        for field in ("max_completion_tokens", "max_tokens"):
            forwarded.pop(field, None)
        forwarded[bound.limit_field] = granted
    if bound.tier_to_write is not None:
        forwarded["service_tier"] = bound.tier_to_write
    if forwarded.get("stream"):
        forwarded["stream_options"] = {
            **(forwarded.get("stream_options") or {}),
            "include_usage": True,
        }
    return forwarded


def checked(bound: Bound) -> Bound:
    """``bound`` where it can be held. Raises BadRequest."""
    if bound.worst_nano > BOUND_NANO_MAX:
        raise BadRequest(
            "This request could cost more than Faregate can hold for one request"
            " (about $9.0 million). Ask for fewer choices or output tokens."
        )
    return bound


def unpriced(price: Price, why: str) -> ModelUnpriced:
    """The error of a rate that ``price`` lacks."""
    return ModelUnpriced(
        f"{why[0].upper()}{why[1:]}, so the cost of this request cannot be bounded. Is it a model"
        " for this endpoint? If it is, a platform engineer can add the price:"
        f" faregate price set {price.model} --help.",
        param="model",
    )


def tiers_of(body: Mapping[str, Any], price: Price, rules: BoundRules) -> tuple[str, ...]:
    """Every tier the answer may be billed at; the provider may fall back to standard."""
    asked = body.get("service_tier")
    if asked is not None and asked not in TIERS_ASKABLE:
        raise BadRequest(
            f"service_tier must be one of {', '.join(TIERS_ASKABLE)}: other tiers cannot be"
            " bounded here.",
            param="service_tier",
        )
    named = rules.auto_service_tier if asked in (None, "auto") else str(asked)
    if named not in price.tiers:
        if asked in (None, "auto"):
            return (STANDARD_TIER,)
        raise ModelUnpriced(
            f"Model {price.model} has no price for service_tier {named!r}"
            f" (priced: {', '.join(sorted(price.tiers))}).",
            param="service_tier",
        )
    return tuple(dict.fromkeys((named, STANDARD_TIER)))


def tier_to_write_for(
    body: Mapping[str, Any], price: Price, tier: str, rules: BoundRules
) -> str | None:
    """The tier that is held for, where the provider could choose a dearer one by itself."""
    if body.get("service_tier") not in (None, "auto"):
        return None
    others = [name for name in price.tiers if name not in (STANDARD_TIER, "batch")]
    return tier if others or rules.auto_service_tier != STANDARD_TIER else None


def context_window_of(
    price: Price,
    facts: ModelFacts,
    hidden: Iterable[str],
    asked: str | None = None,
    param: str = "messages",
) -> int:
    """Tokens that a prompt with ``hidden`` parts can have at most. ``asked`` is the name in the
    request, for which a price can be set although the row in force has another. Raises
    BadRequest, about ``param``, where it is not known."""
    window = max(_windows(price, facts), default=None)
    if window is None:
        model = asked or price.model
        raise BadRequest(
            f"This request has input that cannot be counted beforehand ({', '.join(hidden)}), and"
            f" the context window of {model} is not known, so its cost cannot be bounded."
            " A platform engineer can set it:"
            f" faregate price set {model} --context-window N.",
            param=param,
        )
    return window


def _searches_web(body: Mapping[str, Any]) -> bool:
    # OpenAI's search models search on every request, whether or not it carries the options.
    return body.get("web_search_options") is not None or "-search-" in str(body.get("model"))


def _forms(body: Mapping[str, Any]) -> tuple[Meter, ...]:
    """The meters that tokens of the answer may be billed on: text, speech, images."""
    modalities = body.get("modalities")
    named = modalities if isinstance(modalities, list) else None
    forms = [Meter.OUTPUT]
    if body.get("audio") is not None or "audio" in (named or ()):
        forms.append(Meter.AUDIO_OUTPUT)
    if named is None or "image" in named:
        # Models that draw do so unasked.
        forms.append(Meter.IMAGE_OUTPUT)
    return tuple(forms)


def prompt_nano(price: Price, tiers: Iterable[str], tokens: int, prompt: PromptBound) -> int:
    """The prompt at the dearest rate that any part of it can be billed at."""
    worst = 0
    audio, image = prompt.audio_tokens, prompt.image_tokens
    for tier in tiers:
        rates = [price.rate(tier, meter) for meter in _INPUT_METERS]
        per = lcm(*(rate.per for rate in rates))
        text_rate, written, cached, audio_rate, image_rate = (
            rate.highest_up_to(tokens) * (per // rate.per) for rate in rates
        )
        text_rate = max(text_rate, written, cached)
        if prompt.hidden:
            # What cannot be counted may be of any kind: an earlier spoken answer, a file.
            text_rate = max(text_rate, audio_rate, image_rate)
        numerator = (
            max(tokens - audio - image, 0) * text_rate
            + audio * max(text_rate, audio_rate)
            + image * max(text_rate, image_rate)
        )
        worst = max(worst, divide_up(numerator, per))
    return worst


def output_nano(price: Price, tier: str, tokens: int, forms: Iterable[Meter]) -> int:
    """Nano-dollars per output token, rounded up. Reasoning is billed as output."""
    rates = [price.rate(tier, meter) for meter in forms]
    return max(divide_up(rate.highest_up_to(tokens), rate.per) for rate in rates)


def _output_tokens(
    body: Mapping[str, Any],
    price: Price,
    facts: ModelFacts,
    prompt_tokens: int,
    client: Client,
    rules: BoundRules,
) -> tuple[int, int, str]:
    """Wanted output tokens, the floor, and the field that carries the grant."""
    new = integer_of(body, "max_completion_tokens", 1, OUTPUT_TOKENS_MAX)
    old = integer_of(body, "max_tokens", 1, OUTPUT_TOKENS_MAX)
    if new is not None and old is not None:
        raise BadRequest(
            "Set max_completion_tokens or max_tokens, not both.", param="max_completion_tokens"
        )
    asked = new if new is not None else old
    field = "max_tokens" if old is not None else rules.output_limit_field
    wanted, floor = wanted_output(
        asked, price, facts, prompt_tokens, client, rules, "max_completion_tokens"
    )
    return wanted, floor, field


def wanted_output(
    asked: int | None,
    price: Price,
    facts: ModelFacts,
    prompt_tokens: int,
    client: Client,
    rules: BoundRules,
    param: str,
) -> tuple[int, int]:
    """Wanted output tokens and the floor. ``param`` is the field that ``asked`` comes from.

    Raises BadRequest where the client asked for no maximum and the model's is not known.
    """
    floor = client.output_floor_tokens or rules.output_floor_tokens
    if asked is not None:
        return asked, min(floor, asked) if client.clamp_output else asked
    window = min(_windows(price, facts), default=None)
    most = output_tokens_max(price, facts)
    wanted = min((n for n in (client.default_output_tokens, most) if n), default=None)
    if wanted is None:
        raise BadRequest(
            f"Set {param}: the most that {price.model} can answer is not known, so without it the"
            " cost of this request cannot be bounded.",
            param=param,
        )
    if window is not None:
        # Older models refuse a maximum that does not fit beside the prompt. Not below the
        # floor: the prompt is counted from above, and the provider knows whether it fits.
        wanted = min(wanted, max(window - prompt_tokens, floor))
    return wanted, min(floor, wanted)


def output_tokens_max(price: Price, facts: ModelFacts) -> int | None:
    """The most that a model can answer; None where it is not known."""
    window = min(_windows(price, facts), default=None)
    return price.output_tokens_max or facts.output_tokens_max or window


def _windows(price: Price, facts: ModelFacts) -> list[int]:
    return [window for window in (price.context_window, facts.context_window) if window]
