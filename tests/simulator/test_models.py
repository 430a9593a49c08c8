from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from gateway.simulator.errors import ProviderError
from gateway.simulator.models import add_tuned_model, find_model, find_model_serving


def test_models_are_listed(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"gpt-3.5-turbo", "gpt-4o", "gpt-5", "text-embedding-3-small"} <= names
    assert "sim-unpriced-1" in names
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-99")
    assert refused.value.code == "model_not_found"


def test_a_dated_name_is_the_same_model() -> None:
    assert find_model("gpt-4o-mini-2024-07-18") is find_model("gpt-4o-mini")


def test_a_model_does_its_own_work_only() -> None:
    assert find_model_serving("speech", "tts-1").name == "tts-1"
    with pytest.raises(ProviderError, match="'tts-1', 'tts-1-hd', 'gpt-4o-mini-tts'") as refused:
        find_model_serving("speech", "gpt-4o")
    assert (refused.value.status, refused.value.param) == (400, "model")


def test_a_tuned_model_counts_like_its_base_and_answers_under_its_own_name() -> None:
    base = find_model("gpt-4o-mini")
    name = "ft:gpt-4o-mini-2024-07-18:simulated::unit"
    add_tuned_model(name, base)
    tuned = find_model(name)
    assert (tuned.name, tuned.snapshot, tuned.tiers) == (base.name, name, ("default",))
    assert find_model("gpt-4o-mini") is base
