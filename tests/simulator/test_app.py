from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from gateway.simulator.truth import read_truth
from tests.simulator.conftest import Simulated, question, start_simulator


def test_any_sk_key_is_accepted_and_no_other(simulated: Simulated) -> None:
    for key, accepted in (("sk-anything", True), ("fg-virtual-key", False)):
        with OpenAI(api_key=key, base_url=simulated.url, max_retries=0) as client:
            if accepted:
                assert client.models.list().data
                continue
            with pytest.raises(openai.AuthenticationError) as refused:
                client.models.list()
            assert refused.value.code == "invalid_api_key"


def test_other_paths_and_methods_are_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.get("/nothing/here", cast_to=object)
    assert "Invalid URL (GET /v1/nothing/here)" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        client.put("/chat/completions", cast_to=object)


def test_flags_apply_to_every_request(tmp_path: Path) -> None:
    flags = ("--api-key", "sk-only", "--strict", "--output-tokens", "9", "--fault-rate", "0.5")
    for server in start_simulator(tmp_path / "truth", *flags, "--status", "503"):
        with (
            OpenAI(api_key="sk-other", base_url=server.url, max_retries=0) as stranger,
            pytest.raises(openai.AuthenticationError),
        ):
            stranger.models.list()
        with OpenAI(api_key="sk-only", base_url=server.url, max_retries=0) as client:
            # The refused request was number 1, so the even numbers are hit.
            with pytest.raises(openai.InternalServerError) as failed:
                client.chat.completions.create(**question())
            assert failed.value.status_code == 503
            assert failed.value.response.headers["retry-after"] == "1"
            answer = client.chat.completions.create(**question())
            assert answer.usage is not None
            assert answer.usage.completion_tokens == 9
            with pytest.raises(openai.InternalServerError):
                client.chat.completions.create(**question())
            with pytest.raises(openai.BadRequestError) as refused:
                client.chat.completions.create(**question(), extra_body={"colour": "red"})
            assert "Unrecognized request argument supplied: colour" in refused.value.message
        assert server.process.stop() == 0
        (charge,) = read_truth(server.truth_log)
        assert charge.completion_tokens == 9


def test_bad_flags_are_explained(tmp_path: Path) -> None:
    for server in start_simulator(tmp_path / "truth"):
        taken = str(server.port)
        with pytest.raises(AssertionError, match=r"simulator: .*[Aa]ddress already in use"):
            next(start_simulator(tmp_path / "other", "--port", taken))
    with pytest.raises(AssertionError, match="Unknown simulator fault 'rain'"):
        next(start_simulator(tmp_path / "other", "--fault", "rain"))


def test_totals_are_those_of_the_log(simulated: Simulated, client: OpenAI) -> None:
    client.chat.completions.create(**question())
    with urllib.request.urlopen(f"http://127.0.0.1:{simulated.port}/sim/truth") as page:
        totals = json.load(page)
    charges = read_truth(simulated.truth_log)
    assert totals["requests"] == len(charges)
    assert totals["prompt_tokens"] == sum(charge.prompt_tokens for charge in charges)
    assert totals["completion_tokens"] == sum(charge.completion_tokens for charge in charges)
    assert totals["answering"] == 0
