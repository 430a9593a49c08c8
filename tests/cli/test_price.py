from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.redis_budgets import RedisBudgets
from tests.cli.rig import Faregate


def test_sync_tells_what_it_added_and_left_out(faregate: Faregate) -> None:
    version = faregate.directory.version()
    synced = faregate.ask("price", "sync")
    assert synced["added"] == 0
    assert synced["unchanged"] > 100
    assert any("audio" in warning for warning in synced["warnings"])
    assert faregate.directory.version() == version
    assert "has no provider 'opnai'" in faregate.refused("price", "sync", "--provider", "opnai")


def test_an_override_completes_itself_from_the_price_in_force(
    faregate: Faregate, budgets: RedisBudgets
) -> None:
    before = faregate.ask("price", "show", "gpt-5.4")
    words = ("--input", "2.00", "--above", "272000", "--input-above", "4.00")
    after = faregate.ask("price", "set", "gpt-5.4", *words, "--output-tokens-max", "128000")
    assert after["is_override"]
    assert after["tiers"]["default"]["input"] == {
        "usd": "2.000000000",
        "per": 1_000_000,
        "steps": [{"above": 272000, "usd": "4.000000000"}],
    }
    assert after["tiers"]["default"]["output"] == before["tiers"]["default"]["output"]
    assert after["tiers"]["flex"] == before["tiers"]["flex"]
    assert after["context_window"] == before["context_window"]
    assert after["output_tokens_max"] == 128000
    assert faregate.ask("price", "show", "gpt-5.4") == after
    assert faregate.ask("price", "show", "gpt-5.4-2026-03-05")["id"] == before["id"]
    assert budgets.policy_version() == faregate.directory.version()


@pytest.mark.parametrize("option", ["context_window", "output_tokens_max"])
def test_a_limit_alone_keeps_every_rate(sqlite_faregate: Faregate, option: str) -> None:
    before = sqlite_faregate.ask("price", "show", "gpt-5.4")
    assert any(rate["steps"] for rate in before["tiers"]["default"].values())
    name = f"--{option.replace('_', '-')}"
    after = sqlite_faregate.ask("price", "set", "gpt-5.4", name, "123456")
    assert after["tiers"] == before["tiers"]
    assert after["is_override"]
    other = {"context_window", "output_tokens_max"} - {option}
    assert after[option] == 123_456
    assert [after[field] for field in other] == [before[field] for field in other]
    # A price is still needed where there is none, and where a tier or a step is named.
    for words in (("nameless",), ("gpt-5.4", "--tier", "flex"), ("gpt-5.4", "--above", "5")):
        sqlite_faregate.refused("price", "set", *words, name, "123456")


def test_names_that_keep_their_price_are_told(sqlite_faregate: Faregate) -> None:
    done = sqlite_faregate.run("price", "set", "gpt-5.4", "--input", "2.00")
    assert "gpt-5.4-2026-03-05" in done.stderr


def test_an_override_begins_on_its_day(faregate: Faregate) -> None:
    faregate.run("price", "set", "mine", "--input", "1", "--output", "2", "--from", "2020-01-01")
    faregate.run("price", "set", "mine", "--input", "9", "--from", "2999-12-01")

    def price(*words: str) -> Any:
        return faregate.ask("price", "show", "mine", *words)["tiers"]["default"]["input"]["usd"]

    assert price() == "1.000000000"
    assert price("--at", "2999-11-30T23:59") == "1.000000000"
    assert price("--at", "2999-12-01") == "9.000000000"
    assert "has no price at" in faregate.refused("price", "show", "mine", "--at", "2019-12-31")


def test_a_tier_is_added_from_the_standard_one(sqlite_faregate: Faregate) -> None:
    assert "flex" in sqlite_faregate.refused("price", "set", "m", "--input", "1", "--tier", "flex")
    sqlite_faregate.run("price", "set", "m", "--input", "1", "--output", "2")
    tiers = sqlite_faregate.ask("price", "set", "m", "--input", "0.5", "--tier", "flex")["tiers"]
    assert tiers["flex"]["input"]["usd"] == "0.500000000"
    assert tiers["flex"]["output"] == tiers["default"]["output"]
    minute = sqlite_faregate.ask("price", "set", "m", "--audio-minute", "0.006")["tiers"]
    assert minute["default"]["audio_seconds"] == {"usd": "0.006000000", "per": 60, "steps": []}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "state at least one price"),
        (("--input", "-1"), "is negative"),
        (("--input", "1", "--output", "0"), "say --free where that is meant"),
        (("--input", "cheap"), "is not a decimal amount"),
        (("--input", "1", "--above", "5"), "--above needs prices above it"),
        (("--input", "1", "--output-above", "5"), "these need --above"),
    ],
)
def test_an_override_that_cannot_be_is_refused(
    sqlite_faregate: Faregate, words: tuple[str, ...], reason: str
) -> None:
    assert reason in sqlite_faregate.refused("price", "set", "mine", *words)
    assert "has no price" in sqlite_faregate.refused("price", "show", "mine")


def test_a_model_name_that_no_column_holds_is_refused(sqlite_faregate: Faregate) -> None:
    words = ("price", "set", "m" * 129, "--input", "1")
    assert "is not a model name" in sqlite_faregate.refused(*words)


def test_prices_are_listed_by_pattern(sqlite_faregate: Faregate) -> None:
    models = [
        price["model"] for price in sqlite_faregate.ask("price", "list", "--model", "gpt-4o*")
    ]
    assert "gpt-4o" in models
    assert models == sorted(set(models))
    table = sqlite_faregate.run("price", "list").stdout
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "gpt-3.5-turbo" in table
    nothing = sqlite_faregate.run("price", "list", "--model", "zzz*")
    assert (nothing.stdout, "No model matches zzz*" in nothing.stderr) == ("", True)


def test_all_tiers_of_a_price_fit_in_a_terminal(sqlite_faregate: Faregate) -> None:
    table = sqlite_faregate.run("price", "show", "gpt-5.4").stdout
    for text in ("priority", "flex", "$2.50 per 1M", "$5.00 over 272,000 tokens"):
        assert text in table
    assert max(len(line) for line in table.splitlines()[2:]) <= 80


def test_prices_beside_tokens_are_synced_and_shown(sqlite_faregate: Faregate) -> None:
    drawn = sqlite_faregate.run("price", "show", "dall-e-3").stdout
    for text in ("from published", "hd-1024x1792", "$0.12 per image", "$0.04 per image"):
        assert text in drawn
    trained = sqlite_faregate.ask("price", "show", "fine-tuning/gpt-4o-mini-2024-07-18")
    assert trained["tiers"] == {
        "default": {"trained_tokens": {"usd": "3.000000000", "per": 1_000_000, "steps": []}}
    }
    listed = sqlite_faregate.run("price", "list", "--model", "whisper-1").stdout
    assert "$0.36 per hour" in listed
    listed = sqlite_faregate.run("price", "list").stdout
    assert max(len(line) for line in listed.splitlines()) <= 80


@pytest.mark.parametrize(
    ("option", "meter", "per"),
    [
        ("--images", "images", 1),
        ("--trained-tokens", "trained_tokens", 1_000_000),
        ("--code-interpreter-sessions", "code_interpreter_sessions", 1),
        ("--file-search-calls", "file_search_calls", 1000),
        ("--characters", "characters", 1_000_000),
        ("--image-output", "image_output", 1_000_000),
    ],
)
def test_every_meter_can_be_set(
    sqlite_faregate: Faregate, option: str, meter: str, per: int
) -> None:
    rates = sqlite_faregate.ask("price", "set", "mine", option, "0.03")["tiers"]["default"]
    assert rates == {meter: {"usd": "0.030000000", "per": per, "steps": []}}


def test_a_variant_of_an_image_is_set_as_a_tier(sqlite_faregate: Faregate) -> None:
    words = ("price", "set", "dall-e-3", "--images", "0.05", "--tier", "standard-1024x1024")
    tiers = sqlite_faregate.ask(*words)["tiers"]
    assert tiers["standard-1024x1024"]["images"]["usd"] == "0.050000000"
    assert tiers["default"]["images"]["usd"] == "0.120000000"


def test_a_model_that_costs_nothing_is_set_as_such(sqlite_faregate: Faregate) -> None:
    words = ("price", "set", "mine", "--input", "0", "--output", "0", "--free")
    tiers = sqlite_faregate.ask(*words)["tiers"]
    assert {rate["usd"] for rate in tiers["default"].values()} == {"0.000000000"}
