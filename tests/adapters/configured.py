"""A deployment with something of everything that a configuration document says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.directory import Directory
from gateway.adapters.price_changes import Override, set_price
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.policy import Sharing
from gateway.core.prices import Meter
from tests.adapters.directories import ANN, small_directory

AT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)


def rich_directory(engine: Engine) -> Directory:
    """Teams, clients, budgets, tags, prices and alert rules; and a removed one of most."""
    found = small_directory(engine)
    found.add_tag_key("project")
    found.create_team("ads @co", Sharing.TEAM)
    found.create_client(
        "ads @co",
        "web 2.0",
        allowed_models=["gpt-4o*", 'o"3'],
        requests_per_minute=60,
        clamp_output=True,
        outage_allowance_nano=250_000_001,
    )
    terms: dict[str, Any] = {"limit_nano": 5_000_000_000, "window": WindowKind.DAY}
    found.create_budget("all", **terms)
    found.create_budget("of search", team="search", **terms)
    found.create_budget(
        "of web",
        client="web 2.0",
        limit_nano=1,
        window=WindowKind.MONTH,
        time_zone="Europe/Berlin",
        enforcement=Enforcement.EXPECTED,
        model_pattern="gpt-[45]*",
        tag="project=alpha = β",
    )
    found.create_key("bot")
    for gone in ("left", "also left"):
        found.create_client("search", gone)
        found.create_budget(f"of {gone}", client=gone, **terms)
        found.remove_client(gone)
    set_price(engine, Override("m", AT, {Meter.INPUT: "1", Meter.IMAGES: "0.04"}), ANN)
    stepped = {Meter.INPUT: "2.25"}
    second = Override("m", AT, {Meter.INPUT: "1.5"}, above=200_000, amounts_above=stepped)
    set_price(engine, second, ANN)
    set_price(engine, Override("free", AT, {Meter.INPUT: "0"}, free=True), ANN)
    channel(engine)
    AlertRules(engine, ANN).create("early", AlertKind.THRESHOLD, ["pager"], budget="of web")
    AlertRules(engine, ANN).create("odd", AlertKind.ANOMALY, ["pager"])
    return found


def channel(engine: Engine) -> None:
    """Where alerts go."""
    AlertChannels(engine, ANN).create("pager", ChannelKind.EMAIL, "pager@acme.example")
