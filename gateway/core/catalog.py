"""What the gateway must know of a model to bound its requests: encoding, limits, image rule.

Prices are elsewhere (price rows). Sources: OpenAI's model pages
(developers.openai.com/api/docs/models), its guide "Images and vision", and tiktoken's
``model.py``, as of autumn 2026. What is not published is None, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from gateway.core.images import ImageRule, Patches, Sizing, Tiles

DEFAULT_ENCODING = "o200k_base"
OLDER_ENCODING = "cl100k_base"

NAME_CHARACTERS_MAX = 256
"""Longer model names are unknown models: they are not looked up, nor kept in the cache."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The facts of one model. Sizes are in tokens."""

    name: str
    """The base model's name: no snapshot date, no fine-tuning suffix."""
    encoding: str = DEFAULT_ENCODING
    context_window: int | None = None
    """Most tokens of prompt and answer together; None where it is not known."""
    output_tokens_max: int | None = None
    """Most tokens of an answer, reasoning included; None where it is not known."""
    image_rule: ImageRule | None = None
    """How images are billed; None where the model takes none or the rule is not published."""
    reasoning: bool = False
    """Whether the model may think in tokens that are billed and not shown."""
    tokenizer_known: bool = True
    """Whether the model's tokenizer is one that can be counted with. Where it is not, a text
    is bounded by its UTF-8 bytes, since every token stands for at least one."""
    template_tokens: int = 0
    """Most tokens that the model's own chat template is known to add to a prompt."""


# --- Image rules ------------------------------------------------------------------------
#
# Multipliers have been published differently over time (gpt-5-mini 1.62, later 1.2): the
# highest published one is the bound.

_TILES_4O = ImageRule(tiles=Tiles(85, 170))
_TILES_4O_MINI = ImageRule(tiles=Tiles(2_833, 5_667))
_TILES_5 = ImageRule(tiles=Tiles(70, 140))
_TILES_O = ImageRule(tiles=Tiles(75, 150))
_TILES_COMPUTER = ImageRule(tiles=Tiles(65, 129))

_SMALL = Sizing(512, None)
_BASIC = Sizing(2_048, 6_144)
_HIGH = Sizing(2_048, 2_500)
_ORIGINAL = Sizing(6_000, 10_000)
_UNLIMITED = Sizing(65_535, None)


def _patches(percent: int, low: Sizing, high: Sizing, original: Sizing, auto: Sizing) -> ImageRule:
    sizings = {"low": low, "high": high, "original": original, "auto": auto}
    return ImageRule(patches=Patches(percent, sizings))


def _basic_patches(percent: int) -> ImageRule:
    return _patches(percent, _BASIC, _BASIC, _BASIC, _BASIC)


_PATCHES_5_2 = _basic_patches(120)
_PATCHES_5_4 = _patches(120, _BASIC, _HIGH, _ORIGINAL, _HIGH)
_PATCHES_5_4_MINI = _patches(162, _BASIC, _HIGH, _ORIGINAL, _HIGH)
_PATCHES_5_4_NANO = _patches(246, _BASIC, _HIGH, _ORIGINAL, _HIGH)
_PATCHES_5_5 = _patches(120, _SMALL, _HIGH, _ORIGINAL, _ORIGINAL)
_PATCHES_5_6 = _patches(120, _SMALL, _HIGH, _UNLIMITED, _UNLIMITED)
_TILES_OR_PATCHES_5 = ImageRule(_TILES_5.tiles, _basic_patches(162).patches)

# --- Models -----------------------------------------------------------------------------
#
# names (a name also stands for its snapshots and for variants with a further "-suffix"):
# context window, most output tokens, image rule

_Row = tuple[str, int | None, int | None, ImageRule | None]

_OLDER: tuple[_Row, ...] = (
    ("gpt-3.5-turbo gpt-35-turbo gpt-3.5", 16_385, 4_096, None),
    ("gpt-3.5-turbo-0301 gpt-3.5-turbo-0613 gpt-3.5-turbo-instruct", 4_096, 4_096, None),
    ("gpt-3.5-turbo-16k", 16_385, 16_385, None),
    ("gpt-4 gpt-4-0314 gpt-4-0613", 8_192, 8_192, None),
    ("gpt-4-32k", 32_768, 32_768, None),
    ("gpt-4-turbo gpt-4-vision-preview gpt-4-1106-vision-preview", 128_000, 4_096, _TILES_4O),
    ("gpt-4-turbo-preview gpt-4-0125-preview gpt-4-1106-preview", 128_000, 4_096, None),
    ("davinci-002 babbage-002", 16_384, 16_384, None),
    ("text-embedding-3-small text-embedding-3-large text-embedding-ada-002", 8_192, None, None),
)
"""Models whose encoding is cl100k_base."""

_CHAT: tuple[_Row, ...] = (
    ("gpt-4o chatgpt-4o-latest", 128_000, 16_384, _TILES_4O),
    ("gpt-4o:extended gpt-4o-64k-output-alpha", 128_000, 64_000, _TILES_4O),
    ("gpt-4o-2024-05-13", 128_000, 4_096, _TILES_4O),
    ("gpt-4o-mini", 128_000, 16_384, _TILES_4O_MINI),
    ("gpt-4o-search-preview gpt-4o-mini-search-preview", 128_000, 16_384, None),
    ("gpt-4o-audio-preview gpt-4o-mini-audio-preview gpt-audio", 128_000, 16_384, None),
    ("gpt-4o-realtime-preview gpt-4o-mini-realtime-preview gpt-realtime", None, 4_096, None),
    ("gpt-4o-transcribe gpt-4o-mini-transcribe", 16_000, 2_000, None),
    ("gpt-4o-mini-tts", None, None, None),
    ("gpt-4.1", 1_047_576, 32_768, _TILES_4O),
    ("gpt-4.1-mini", 1_047_576, 32_768, _basic_patches(162)),
    ("gpt-4.1-nano", 1_047_576, 32_768, _basic_patches(246)),
    ("gpt-4.5-preview", 128_000, 16_384, _TILES_O),
    ("gpt-5-chat-latest", 128_000, 16_384, _TILES_5),
)
"""Models that answer without reasoning."""

_REASONING: tuple[_Row, ...] = (
    ("o1 o1-pro o3 o3-pro o3-deep-research", 200_000, 100_000, _TILES_O),
    ("o1-preview", 128_000, 32_768, None),
    ("o1-mini", 128_000, 65_536, None),
    ("o3-mini", 200_000, 100_000, None),
    ("o4-mini codex-mini", 200_000, 100_000, _basic_patches(172)),
    ("computer-use-preview", 8_192, 1_024, _TILES_COMPUTER),
    # These decide for themselves whether to reason. Source: OpenAI, "GPT-5.1" (Instant).
    ("gpt-5.1-chat-latest", 128_000, 16_384, _TILES_5),
    ("gpt-5.2-chat-latest gpt-5.3-chat-latest", 128_000, 16_384, _PATCHES_5_2),
    ("gpt-5 gpt-5.1", 400_000, 128_000, _TILES_5),
    ("gpt-5-pro", 400_000, 272_000, _TILES_5),
    ("gpt-5-mini", 400_000, 128_000, _basic_patches(162)),
    ("gpt-5-nano", 400_000, 128_000, _basic_patches(246)),
    ("gpt-5-codex-mini gpt-5.1-codex-mini", 400_000, 128_000, _TILES_OR_PATCHES_5),
    ("gpt-5-search-api gpt-5-image", None, None, None),
    ("gpt-5.2 gpt-5.3", 400_000, 128_000, _PATCHES_5_2),
    ("gpt-5.4", 1_050_000, 128_000, _PATCHES_5_4),
    ("gpt-5.4-mini", 400_000, 128_000, _PATCHES_5_4_MINI),
    ("gpt-5.4-nano", 400_000, 128_000, _PATCHES_5_4_NANO),
    ("gpt-5.4-image", None, None, None),
    ("gpt-5.5", 1_050_000, 128_000, _PATCHES_5_5),
    ("gpt-5.6", 1_050_000, 128_000, _PATCHES_5_6),
    ("gpt-6 gpt-6.1", 1_050_000, 128_000, None),
)
"""Models that reason."""

_HARMONY = ModelFacts(
    "gpt-oss",
    context_window=131_072,
    output_tokens_max=131_072,
    reasoning=True,
    tokenizer_known=False,
    template_tokens=128,
)
"""OpenAI's open models, which anybody may serve, with a tokenizer and a template of their own:
it opens each prompt with a system message of about 70 tokens and may wrap the caller's."""

_OPENAI_FAMILY = re.compile(
    r"gpt-\d+(?:\.\d+)?o?(?![0-9A-Za-z.])|gpt-(?:audio|realtime|image|transcribe|chat)(?![0-9a-z])"
    r"|chatgpt-|codex-|o[1-9](?![0-9a-z])|omni-moderation|text-moderation"
    r"|text-embedding-(?:3-|ada-002)|(?:davinci|babbage)-002"
)
"""Names of OpenAI's own models: one that is not listed has one of its tokenizers. Names that
merely look alike (``gpt-neox-20b``, ``gpt-4all``, ``text-embedding-004``) do not match."""


def _facts() -> Iterator[ModelFacts]:
    for rows, encoding, reasoning in (
        (_OLDER, OLDER_ENCODING, False),
        (_CHAT, DEFAULT_ENCODING, False),
        (_REASONING, DEFAULT_ENCODING, True),
    ):
        for names, window, output, rule in rows:
            for name in names.split():
                yield ModelFacts(name, encoding, window, output, rule, reasoning)


_MODELS = {facts.name: facts for facts in (*_facts(), _HARMONY)}

_SNAPSHOT = re.compile(r"(.+?)-(?:\d{4}-\d{2}-\d{2}|\d{4}|latest)")


@lru_cache(maxsize=1024)
def _lookup(model: str) -> ModelFacts:
    name = _base_name(model)
    known = _MODELS.get(name)
    if known is not None:
        return known
    dated = _SNAPSHOT.fullmatch(name)
    if dated and dated[1] in _MODELS:
        return _MODELS[dated[1]]
    # A variant that is not listed is bounded like the longest listed name it extends.
    parts = name.split("-")
    for length in range(len(parts) - 1, 0, -1):
        base = _MODELS.get("-".join(parts[:length]))
        if base is not None:
            return replace(base, name=name)
    return ModelFacts(
        name,
        # What is not known to answer without reasoning may hide tokens that are billed.
        reasoning=True,
        tokenizer_known=_OPENAI_FAMILY.match(name) is not None,
    )


def facts_for(model: str) -> ModelFacts:
    """The facts of a model by any name it is asked for: alias, snapshot or fine-tuned model.

    ``ft:gpt-4o-mini-2024-07-18:org::id`` is gpt-4o-mini. Unknown models have the default
    encoding and no known limits.
    """
    if len(model) > NAME_CHARACTERS_MAX:
        return ModelFacts(model[:NAME_CHARACTERS_MAX])
    return _lookup(model)


def _base_name(model: str) -> str:
    """The name without fine-tuning: ``ft:base:org:suffix:id``, or Azure's ``base.ft-id``."""
    if model.startswith("ft:"):
        return model.split(":", 2)[1]
    base, fine_tuned, _ = model.partition(".ft-")
    return base if fine_tuned else model
