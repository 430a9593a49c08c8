from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.rig import Faregate, record_request

NOW = datetime.now(UTC)
LINES = (("input", 1000, 500_000_000, 1_000_000), ("output", 333, 1_500_000_001, 1_000_000))


def test_usage_is_summed_by_what_is_asked(faregate: Faregate) -> None:
    record_request(faregate.engine, "r1", cost=1_000_000_001, at=NOW)
    record_request(faregate.engine, "r2", cost=2, at=NOW, certainty="estimated", status=500)
    record_request(faregate.engine, "r3", cost=5, at=NOW - timedelta(days=3), model="gpt-4o")
    record_request(faregate.engine, "old", cost=7, at=NOW - timedelta(days=40))

    (team,) = faregate.ask("usage")["groups"]
    assert team == {
        "group": "research",
        "requests": 3,
        "failures": 1,
        "input_tokens": 30,
        "output_tokens": 15,
        "cost_usd": "1.000000008",
        "not_exact_usd": "0.000000002",
    }
    models = faregate.ask("usage", "--by", "model", "--since", "7d")["groups"]
    assert [group["group"] for group in models] == ["gpt-3.5-turbo", "gpt-4o"]
    days = [group["group"] for group in faregate.ask("usage", "--by", "day")["groups"]]
    assert days == [f"{NOW - timedelta(days=3):%Y-%m-%d}", f"{NOW:%Y-%m-%d}"]
    (first,) = faregate.ask("usage", "--until", "2d")["groups"]
    assert first["cost_usd"] == "0.000000005"
    since = f"{NOW - timedelta(days=50):%Y-%m-%d}"
    assert faregate.ask("usage", "--by", "client", "--since", since)["groups"][0]["requests"] == 4
    table = faregate.run("usage").stdout
    assert "$1.000001" in table
    assert "Total" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_the_newest_records_come_first(faregate: Faregate) -> None:
    faregate.run("client", "create", "other", "--team", "research")
    record_request(faregate.engine, "r1", at=NOW - timedelta(hours=1))
    record_request(faregate.engine, "r2", at=NOW)
    record_request(faregate.engine, "r3", at=NOW, client_id=2)

    def ids(*words: str) -> list[str]:
        return [record["request_id"] for record in faregate.ask("usage", "records", *words)]

    assert ids("--client", "web") == ["r2", "r1"]
    assert ids("--limit", "2") == ["r2", "r3"]
    assert "there is no client 'wbe'" in faregate.refused("usage", "records", "--client", "wbe")
    # An id is there to be copied, so it must not be broken.
    long_id = f"req_{'0' * 32}"
    record_request(faregate.engine, long_id, cost=12_345_678_901)
    table = faregate.run("usage", "records").stdout
    assert long_id in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_a_cost_is_explained_line_by_line(faregate: Faregate) -> None:
    budget = faregate.ask("budget", "create", "all", "--limit", "5", "--window", "total")
    price = faregate.ask("price", "show", "gpt-3.5-turbo")
    # 500 000 + 499 500.000333 nano-dollars, rounded up once.
    record_request(
        faregate.engine,
        "req_1",
        cost=999_501,
        lines=LINES,
        price_id=price["id"],
        windows=f"{budget['id']}:0:1:5000000000:strict",
    )
    shown = faregate.run("usage", "record", "req_1").stdout
    for text in (
        "$0.50 per 1M",
        "$1.500000001 per 1M",
        "$0.0005",
        "$0.000499500000333",
        "Sum, rounded up",
        "Cost: $0.000999501",
        f"Price {price['id']}: gpt-3.5-turbo from genai-prices",
        "Charged to: all",
        "client web of team research",
        "the provider reported the usage",
    ):
        assert text in shown
    (record,) = faregate.ask("usage", "record", "req_1")
    assert record["cost_usd"] == "0.000999501"
    assert record["cost_lines"][1] == {
        "meter": "output",
        "count": 333,
        "rate_usd": "1.500000001",
        "per": 1_000_000,
    }
    assert record["budget_ids"] == [budget["id"]]


def test_lines_that_do_not_sum_to_the_cost_are_told(sqlite_faregate: Faregate) -> None:
    record_request(sqlite_faregate.engine, "req_1", cost=999_500, lines=LINES)
    result = sqlite_faregate.run("usage", "record", "req_1")
    assert "do not sum to the cost" in result.stderr


def test_a_correction_is_shown_with_what_it_corrects(faregate: Faregate) -> None:
    at = datetime.now(UTC)
    record_request(faregate.engine, cost=1_999_501, certainty="unknown", status=0, at=at)
    record_request(faregate.engine, cost=-1_000_000, kind="correction", lines=LINES, at=at)
    result = faregate.run("usage", "record", "req_1")
    expired, _, corrected = result.stdout.partition("correction req_1")
    assert "is not known" in expired
    assert "Cost: $0.001999501" in expired
    assert "Cost: $0.000999501" in corrected
    assert "Charged before: $0.001999501; corrected by -$0.001" in corrected
    assert result.stderr == ""


def test_an_unknown_request_is_refused(sqlite_faregate: Faregate) -> None:
    assert "there is no usage record req_9" in sqlite_faregate.refused("usage", "record", "req_9")


@pytest.mark.parametrize("words", [("usage",), ("usage", "records")])
def test_without_usage_that_is_said(sqlite_faregate: Faregate, words: tuple[str, ...]) -> None:
    result = sqlite_faregate.run(*words)
    assert result.stdout == ""
    assert "No usage" in result.stderr


def test_control_codes_in_stored_text_do_not_reach_the_terminal(sqlite_faregate: Faregate) -> None:
    record_request(sqlite_faregate.engine, "req_1", model="gpt\x1b[2J")
    for words in (["usage", "--by", "model"], ["usage", "records"], ["usage", "record", "req_1"]):
        assert "\x1b[2J" not in sqlite_faregate.run(*words).output


def test_what_is_no_token_is_shown_where_there_is_any(sqlite_faregate: Faregate) -> None:
    engine = sqlite_faregate.engine
    # 12.345 s at $0.006 per minute, in milliseconds.
    record_request(
        engine,
        "heard",
        cost=1_234_500,
        lines=[("audio_seconds", 12_345, 6_000_000, 60_000)],
        usage={"audio_milliseconds": 12_345},
    )
    shown = sqlite_faregate.run("usage", "record", "heard").stdout
    for text in ("Used: 12.345 seconds of audio\n", "$0.006 per minute", "$0.0012345", "12.345"):
        assert text in shown
    (facts,) = sqlite_faregate.ask("usage", "record", "heard")
    assert facts["cost_lines"] == [
        {
            "meter": "audio_seconds",
            "count": 12_345,
            "rate_usd": "0.006000000",
            "per": 60_000,
            "unit": "millisecond",
        }
    ]
    record_request(
        engine,
        "rest",
        usage={
            "images": 3,
            "image_output_tokens": 4_160,
            "audio_milliseconds": 9_000,
            "characters": 1_200,
            "trained_tokens": 10_000_000_001,
            "web_search_calls": 2,
        },
    )
    shown = " ".join(sqlite_faregate.run("usage", "record", "rest").stdout.split())
    assert (
        "Used: 4,160 image output tokens, 3 images, 9 seconds of audio, 1,200 characters,"
        " 10,000,000,001 trained tokens, 2 web searches" in shown
    )
    (facts,) = sqlite_faregate.ask("usage", "record", "rest")
    assert (facts["images"], facts["trained_tokens"]) == (3, 10_000_000_001)
    record_request(engine, "text")
    assert "Used:" not in sqlite_faregate.run("usage", "record", "text").stdout


def test_an_image_is_billed_by_the_piece(sqlite_faregate: Faregate) -> None:
    lines = [("images", 3, 80_000_000, 1)]
    record_request(sqlite_faregate.engine, "drawn", cost=240_000_000, lines=lines)
    assert "$0.08 per image" in sqlite_faregate.run("usage", "record", "drawn").stdout
