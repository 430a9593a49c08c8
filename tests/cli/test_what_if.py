from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.cli.rig import Faregate, record_request

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)


def recorded(faregate: Faregate) -> None:
    """Two days of three requests, each of which held $0.000005 and cost less."""
    for day in (0, 1):
        for number in range(3):
            record_request(
                faregate.engine,
                f"r{day}{number}",
                cost=2_000,
                at=NOON + timedelta(days=day, minutes=number),
                model="gpt-4o" if number else "o3",
            )


def test_a_budget_is_tried_on_what_was_recorded(faregate: Faregate) -> None:
    recorded(faregate)
    faregate.run("budget", "create", "daily", "--limit", "0.000006", "--window", "day")
    words = ("what-if", "--limit", "0.000008", "--window", "day", "--since", "7d")
    proposed, present = faregate.ask(*words)["budgets"]
    assert (proposed["requests"], proposed["refused"]) == (6, 2)
    assert proposed["refused_usd"] == "0.000004000"
    first = proposed["windows"][0]
    assert first["first_refusal"] == (NOON + timedelta(minutes=2)).isoformat()
    assert (first["recorded_usd"], first["spent_usd"]) == ("0.000006000", "0.000004000")
    assert (present["name"], present["refused"]) == ("daily", 4)
    shown = faregate.run(*words)
    assert f"full {NOON:%Y-%m-%d} 12:02" in shown.stdout
    assert "Budget daily ($0.000006) by the same rules: 4 refused" in shown.stderr
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


def test_a_budget_is_tried_on_a_part_of_it(faregate: Faregate) -> None:
    recorded(faregate)
    words = ("what-if", "--limit", "0.000008", "--window", "total", "--since", "7d")
    for more, requests in (
        (("--team", "research"), 6),
        (("--client", "web", "--model", "gpt-*"), 4),
        (("--until", f"{NOON:%Y-%m-%dT%H:%M}"), 0),
    ):
        (proposed,) = faregate.ask(*words, *more)["budgets"]
        assert proposed["requests"] == requests
    assert "No requests" in faregate.run(*words, "--model", "none").stderr
    assert "there is no such budget" in faregate.run(*words).stderr.lower()
    assert "there is no client 'wbe'" in faregate.refused(*words, "--client", "wbe")
    assert "is not a time zone" in faregate.refused(*words, "--time-zone", "Mars/North")
    both = ("--team", "research", "--client", "web")
    assert "choose one" in faregate.run(*words, *both, code=2).stderr
