from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.cli.rig import Faregate, record_request

NOW = datetime.now(UTC)


def recorded(faregate: Faregate) -> None:
    price = faregate.ask("price", "show", "gpt-3.5-turbo")
    lines = (("input", 1_000, 500_000_000, 1_000_000), ("output", 100, 1_500_000_000, 1_000_000))
    for number in (1, 2):
        record_request(
            faregate.engine,
            f"r{number}",
            cost=650_000,
            at=NOW - timedelta(days=1),
            lines=lines,
            price_id=price["id"],
            usage={"input_tokens": 1_000, "output_tokens": 100},
        )


def test_a_price_that_was_wrong_is_mended_for_what_is_recorded(faregate: Faregate) -> None:
    recorded(faregate)
    assert "Nothing differs: 2 records" in faregate.run("reprice", "--since", "7d").stdout
    from_then = f"{NOW - timedelta(days=3):%Y-%m-%d}"
    faregate.run("price", "set", "gpt-3.5-turbo", "--input", "1", "--from", from_then)
    dry = faregate.run("reprice", "--since", "7d")
    assert "+$0.001" in dry.stdout
    assert "gpt-3.5-turbo" in dry.stdout
    assert "--apply does" in dry.stderr
    assert max(len(line) for line in dry.stdout.splitlines()) <= 80
    assert faregate.ask("reprice", "--since", "7d", "--model", "gpt-4*")["looked_at"] == 0
    applied = faregate.ask("reprice", "--since", "7d", "--apply")
    assert applied["repricing_id"] == 1
    assert applied["groups"] == [
        {
            "model": "gpt-3.5-turbo",
            "client": "web",
            "records": 2,
            "before_usd": "0.001300000",
            "after_usd": "0.002300000",
            "difference_usd": "0.001000000",
        }
    ]
    assert faregate.ask("reprice", "--since", "7d", "--apply")["records"] == 0
    (team,) = faregate.ask("usage")["groups"]
    assert (team["cost_usd"], team["requests"]) == ("0.002300000", 2)
