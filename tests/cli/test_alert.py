from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gateway.adapters.alert_events import announce
from gateway.adapters.alert_rules import rules_in_force
from gateway.adapters.audit_log import entries
from gateway.core.alerts import Crossing
from tests.cli.rig import Faregate
from tests.core.test_alert_messages import THRESHOLD
from tests.receiver import Receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("FAREGATE_ALERT_HOSTS", "127.0.0.1")
    with Receiver() as opened:
        yield opened


def test_from_a_channel_to_the_log(faregate: Faregate, receiver: Receiver) -> None:
    made = faregate.ask("alert", "channel", "create", "hook", "--webhook", receiver.url)
    assert made["target"] == f"http://127.0.0.1:{receiver.port}/..."
    assert faregate.ask("alert", "channel", "test", "hook")["arrived"]
    (test,) = receiver.received
    assert test.is_signed_with(made["secret"])
    assert test.json["type"] == "test"

    faregate.run("budget", "create", "b", "--limit", "1", "--window", "day", "--client", "web")
    rule = faregate.ask(
        *("alert", "rule", "create", "r", "--channel", "hook", "--percent", "75"),
        *("--percent", "100", "--budget", "b"),
    )
    assert (rule["percents"], rule["budget"], rule["channels"]) == ([75, 100], "b", ["hook"])
    (found,) = rules_in_force(faregate.engine)
    crossing = Crossing(found.id, "budget:1:1", 0, 75, {**THRESHOLD, "percent": 75})
    announce(faregate.engine, found, crossing, datetime.now(UTC))
    (told,) = faregate.ask("alert", "log")
    assert (told["rule"], told["percent"]) == ("r", 75)
    assert told["deliveries"][0]["state"] == "waiting"
    table = faregate.run("alert", "log").stdout
    assert "has passed 75 %" in " ".join(table.split())
    assert "hook: waiting" in table
    assert max(len(line) for line in table.splitlines()) <= 80
    by = [
        (one.actor.partition(":")[0], one.action, one.subject)
        for one in entries(faregate.engine).entries
    ]
    assert ("cli", "create", "alert_channel") in by
    assert ("cli", "create", "alert_rule") in by


def test_a_secret_is_shown_when_it_is_made_and_never_again(
    faregate: Faregate, receiver: Receiver
) -> None:
    shown = faregate.run("alert", "channel", "create", "hook", "--webhook", receiver.url).stdout
    secret = shown.split()[-1]
    assert secret.startswith("whsec_")
    assert secret not in faregate.run("alert", "channel", "list").stdout
    assert secret not in repr(faregate.ask("alert", "channel", "list"))
    rotated = faregate.ask("alert", "channel", "set", "hook", "--rotate")["secret"]
    assert rotated not in (None, secret)
    moved = faregate.ask("alert", "channel", "set", "hook", "--target", receiver.url + "/2")
    assert moved["secret"] is None
    faregate.run("alert", "channel", "test", "hook")
    (test,) = receiver.received
    assert test.path == "/hooks/alerts/2"
    assert test.is_signed_with(rotated)


def test_a_test_that_does_not_arrive_says_why(faregate: Faregate, receiver: Receiver) -> None:
    faregate.run("alert", "channel", "create", "hook", "--slack", receiver.url)
    receiver.answer = lambda _: 403
    assert faregate.refused("alert", "channel", "test", "hook") == (
        "the test did not arrive: HTTP 403: said"
    )
    said = json.loads(faregate.run("alert", "channel", "test", "hook", "--json", code=1).stdout)
    assert (said["arrived"], said["error"]) == (False, "HTTP 403: said")


def test_channels_and_rules_are_listed_changed_and_removed(
    faregate: Faregate, receiver: Receiver
) -> None:
    assert "alert channel create" in faregate.run("alert", "channel", "list").stderr
    assert "alert rule create" in faregate.run("alert", "rule", "list").stderr
    assert "Nothing was told yet" in faregate.run("alert", "log").stderr
    faregate.run("alert", "channel", "create", "mail", "--email", "ops@acme.example")
    faregate.run("alert", "channel", "create", "slack", "--slack", receiver.url)
    faregate.run("alert", "rule", "create", "odd", "--kind", "anomaly", "--channel", "mail")
    assert "ops@acme.example" in faregate.run("alert", "channel", "list").stdout
    changed = faregate.ask("alert", "rule", "set", "odd", "--percent", "500", "--channel", "slack")
    assert (changed["percents"], changed["channels"]) == ([500], ["slack"])
    assert "anomaly 500 %" in faregate.run("alert", "rule", "list").stdout
    assert "uses this channel" in faregate.refused("alert", "channel", "remove", "slack")
    faregate.run("alert", "rule", "remove", "odd")
    faregate.run("alert", "channel", "remove", "slack")
    assert faregate.ask("alert", "rule", "list") == []
    assert [one["name"] for one in faregate.ask("alert", "channel", "list")] == ["mail"]


@pytest.mark.parametrize(
    "words",
    [
        ("channel", "create", "x"),
        ("channel", "create", "x", "--email", "a@b.c", "--webhook", "https://b.example/"),
        ("rule", "create", "x"),
        ("rule", "create", "x", "--channel", "c", "--kind", "other"),
        ("rule", "create", "x", "--channel", "c", "--percent", "half"),
    ],
)
def test_usage_errors(sqlite_faregate: Faregate, words: tuple[str, ...]) -> None:
    sqlite_faregate.run("alert", *words, code=2)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("channel", "create", "x", "--webhook", "http://a.example/"), "FAREGATE_ALERT_HOSTS"),
        (("channel", "create", "x", "--webhook", "https://169.254.169.254/"), "metadata"),
        (("channel", "create", "x", "--email", "nobody"), "is not an e-mail address"),
        (("channel", "test", "x"), "there is no alert channel 'x'"),
        (("channel", "remove", "x"), "there is no alert channel 'x'"),
        (("rule", "create", "x", "--channel", "c"), "there is no alert channel 'c'"),
        (("rule", "remove", "x"), "there is no alert rule 'x'"),
    ],
)
def test_what_cannot_be_is_refused(
    sqlite_faregate: Faregate, words: tuple[str, ...], reason: str
) -> None:
    assert reason in sqlite_faregate.refused("alert", *words)
