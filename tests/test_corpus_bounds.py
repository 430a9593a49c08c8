"""The bound of a prompt against the provider's own count, for every case of the corpus.

The provider is the simulator, which counts by its own code from the published rules.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.core.catalog import facts_for
from gateway.core.tokens import count_chat_prompt
from tests.processes import Running

CORPUS = json.loads((Path(__file__).parent / "corpus" / "prompts.json").read_text())

UNSUPPORTED = {"a quarter of a second of silence", "custom tool with a grammar"}
"""Cases that the simulated provider refuses with a 400: it takes no audio and no grammars."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with Running([sys.executable, "-m", "gateway.simulator", "--port", "0", "--quiet"]) as process:
        line = process.wait_for_line(r"listening on (\S+)")
        yield line.group(1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


def provider_tokens(base_url: str, body: dict[str, Any]) -> int:
    """The prompt tokens that the provider bills for ``body``."""
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        json.dumps({**body, "max_completion_tokens": 16}).encode(),
        {"Authorization": "Bearer sk-test", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["usage"]["prompt_tokens"])


@pytest.mark.parametrize(
    "case", [c for c in CORPUS if c["name"] not in UNSUPPORTED], ids=lambda case: case["name"]
)
def test_bound_is_an_upper_bound_of_the_providers_count(
    case: dict[str, Any], provider: str, tokenizer: Tokenizer
) -> None:
    facts = facts_for(case["model"])
    bound = count_chat_prompt(case["body"], facts, tokenizer.counter(facts))
    if bound.hidden:
        pytest.skip(f"bounded by the context window: {', '.join(bound.hidden)}")
    try:
        true = provider_tokens(provider, case["body"])
    except urllib.error.HTTPError as error:
        if error.code != 404:
            pytest.fail(f"{error.code}: {error.read().decode()}")
        pytest.skip(f"the simulated provider has no {case['model']}")
    assert bound.tokens >= true
    if case["text_only"]:
        assert bound.tokens <= max(true * 1.10, true + 12)
