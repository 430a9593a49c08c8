from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.alert_senders import Channel
from gateway.adapters.audit_log import entries
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import ChangedMeanwhile, DirectoryError, NotThere
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.etags import etag_of
from gateway.core.webhook_signatures import new_secret, secret_bytes

HOOK = "https://hooks.acme.example/secret-path?token=secret-token"


@pytest.fixture
def channels(engine: Engine) -> AlertChannels:
    Directory(engine).initialise("acme")
    return AlertChannels(engine)


def hook(channels: AlertChannels, name: str = "hook") -> str:
    channels.create(name, ChannelKind.WEBHOOK, HOOK)
    return name


def test_a_channel_is_made_with_a_secret_that_is_shown_nowhere_else(
    channels: AlertChannels, engine: Engine
) -> None:
    made = channels.create("hook", ChannelKind.WEBHOOK, HOOK)
    assert made.secret is not None
    assert len(secret_bytes(made.secret)) == 32
    (shown,) = channels.all()
    assert shown["target"] == "https://hooks.acme.example/..."
    known = channels.to_send("hook")
    assert (known.target, known.secret) == (HOOK, made.secret)
    told = repr(shown) + repr(entries(engine).entries)
    assert "secret-path" not in told
    assert "secret-token" not in told
    assert made.secret not in told


def test_a_secret_may_be_ones_own(channels: AlertChannels) -> None:
    secret = new_secret()
    assert channels.create("a", ChannelKind.WEBHOOK, HOOK, secret).secret == secret
    with pytest.raises(DirectoryError, match="24 to 64 bytes"):
        channels.create("b", ChannelKind.WEBHOOK, HOOK, "hunter2")
    with pytest.raises(DirectoryError, match="only webhooks are signed"):
        channels.create("c", ChannelKind.SLACK, HOOK, secret)
    assert channels.create("d", ChannelKind.SLACK, HOOK).secret is None


@pytest.mark.parametrize(
    ("kind", "target", "reason"),
    [
        (ChannelKind.WEBHOOK, "http://hooks.acme.example/", "FAREGATE_ALERT_HOSTS"),
        (ChannelKind.SLACK, "https://169.254.169.254/", "metadata"),
        (ChannelKind.WEBHOOK, "ops@acme.example", "must be an http or https URL"),
        (ChannelKind.EMAIL, HOOK, "is not an e-mail address"),
        (ChannelKind.EMAIL, "ops@acme.example\r\nBcc: x@y.z", "is not an e-mail address"),
        (ChannelKind.EMAIL, "a@b.c, d@e.f", "is not an e-mail address"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(
    channels: AlertChannels, kind: ChannelKind, target: str, reason: str
) -> None:
    with pytest.raises(DirectoryError, match=reason):
        channels.create("x", kind, target)
    assert channels.all() == []


def test_a_channel_in_use_stays(channels: AlertChannels, engine: Engine) -> None:
    rules = AlertRules(engine)
    hook(channels)
    rules.create("all", AlertKind.THRESHOLD, ["hook"])
    with pytest.raises(DirectoryError, match="the alert rule 'all' uses this channel"):
        channels.remove("hook")
    rules.remove("all")
    channels.remove("hook")
    assert (channels.all(), rules.all()) == ([], [])
    # The names can be used again.
    hook(channels)
    rules.create("all", AlertKind.THRESHOLD, ["hook"])


def test_a_channel_changes_target_secret_and_name(channels: AlertChannels, engine: Engine) -> None:
    made = channels.create("hook", ChannelKind.WEBHOOK, HOOK)
    moved = channels.change("hook", target="https://b.example/x")
    assert moved.secret is None, "the secret stays, and is not shown again"
    assert channels.to_send("hook") == Channel(
        1, "hook", ChannelKind.WEBHOOK, "https://b.example/x", made.secret
    )
    rotated = channels.change("hook", rotate=True, new_name="pager")
    assert rotated.secret not in (None, made.secret)
    assert channels.to_send("pager").secret == rotated.secret
    with pytest.raises(NotThere, match=r"no alert channel 'hook'.*alert channel list"):
        channels.one("hook")
    with pytest.raises(DirectoryError, match="nothing to change"):
        channels.change("pager")
    with pytest.raises(DirectoryError, match="must be an http or https URL"):
        channels.change("pager", target="nowhere")
    newest = entries(engine).entries[0]
    assert newest.changed == {"name": ("hook", "pager"), "new_secret": (None, True)}


def test_a_change_of_what_was_changed_meanwhile_is_refused(channels: AlertChannels) -> None:
    seen = {etag_of(channels.create("hook", ChannelKind.WEBHOOK, HOOK).facts)}
    channels.change("hook", target="https://b.example/", seen=seen)
    with pytest.raises(ChangedMeanwhile):
        channels.change("hook", target="https://c.example/", seen=seen)
    with pytest.raises(ChangedMeanwhile):
        channels.remove("hook", seen=seen)
    channels.remove(1, seen={etag_of(channels.one(1))})
