"""Spend alerts: an alert rule at 100 percent of a soft monthly budget, which refuses nothing.

OpenAI's spend alerts are amounts; rules here are percents of budgets. The budget is the amount,
and belongs to its alert: both are made, changed and removed together.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_rules import AlertRules, rules_in_force
from gateway.adapters.directory import Directory
from gateway.adapters.directory_changes import COMMAND_LINE
from gateway.adapters.spend_limits import monthly
from gateway.adapters.tables import budgets
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.roles import Principal

PERCENT = 100


@dataclass(frozen=True, slots=True)
class SpendAlert:
    """One alert; ``id`` is its rule's."""

    id: int
    budget_id: int
    limit_nano: int
    recipients: tuple[str, ...]


class SpendAlerts:
    """Reads and changes spend alerts; ``team_id`` None is the organization's. Methods raise
    DirectoryError for bad input."""

    def __init__(self, engine: Engine, actor: Principal = COMMAND_LINE) -> None:
        self._engine = engine
        self._directory = Directory(engine, actor)
        self._rules = AlertRules(engine, actor)
        self._channels = AlertChannels(engine, actor)

    def all(self, team_id: int | None) -> list[SpendAlert]:
        """Every spend alert, oldest first: also those that were made as rule and budget."""
        query = monthly(team_id).where(budgets.c.enforcement == Enforcement.SOFT.value)
        with self._engine.connect() as connection:
            limits = {row.id: int(row.limit_nano) for row in connection.execute(query)}
        addresses = {
            one["id"]: str(one["target"])
            for one in self._channels.all()
            if one["kind"] == ChannelKind.EMAIL
        }
        found = [
            SpendAlert(
                rule.id,
                rule.budget_id,
                limits[rule.budget_id],
                tuple(addresses[channel] for channel in rule.channel_ids),
            )
            for rule in rules_in_force(self._engine)
            if rule.kind is AlertKind.THRESHOLD
            and rule.percents == (PERCENT,)
            and rule.budget_id is not None
            and rule.budget_id in limits
            and addresses.keys() >= set(rule.channel_ids)
        ]
        return sorted(found, key=lambda one: one.id)

    def find(self, team_id: int | None, alert_id: int) -> SpendAlert | None:
        """One of ``all``."""
        return next((one for one in self.all(team_id) if one.id == alert_id), None)

    def create(self, team_id: int | None, limit_nano: int, recipients: Sequence[str]) -> int:
        """A new alert; returns its id."""
        channels = self._channels_to(recipients)
        name = f"spend alert {secrets.token_hex(4)}"
        budget = self._directory.create_budget(
            name,
            limit_nano=limit_nano,
            window=WindowKind.MONTH,
            team=team_id,
            enforcement=Enforcement.SOFT,
        )
        try:
            facts = self._rules.create(
                name, AlertKind.THRESHOLD, channels, percents=[PERCENT], budget=budget
            )
        except BaseException:
            self._directory.remove_budget(budget)
            raise
        return int(facts["id"])

    def change(self, alert: SpendAlert, limit_nano: int, recipients: Sequence[str]) -> None:
        """Change when an alert is sent, and to whom."""
        channels = self._channels_to(recipients)
        if limit_nano != alert.limit_nano:
            self._directory.change_budget(alert.budget_id, limit_nano=limit_nano)
        if tuple(recipients) != alert.recipients:
            self._rules.change(alert.id, channels=channels)

    def remove(self, alert: SpendAlert) -> None:
        """Remove an alert and its budget; channels stay."""
        self._rules.remove(alert.id)
        self._directory.remove_budget(alert.budget_id)

    def _channels_to(self, recipients: Sequence[str]) -> list[int]:
        """Channels to these addresses: those that there are, and new ones."""
        there = {
            str(one["target"]): int(one["id"])
            for one in self._channels.all()
            if one["kind"] == ChannelKind.EMAIL
        }
        return [
            there[address]
            if address in there
            else int(
                self._channels.create(_name_for(address), ChannelKind.EMAIL, address).facts["id"]
            )
            for address in recipients
        ]


def _name_for(address: str) -> str:
    """A name that a channel can have, whatever characters the address has."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._@/-") else "-" for c in address)
    return f"e-mail {plain[:70]} {secrets.token_hex(2)}"
