"""Makes a deployment what a configuration document says, in one transaction: all of it or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine

from gateway.adapters import (
    alert_rules,
    allowed_tags,
    directory_budgets,
    directory_clients,
    directory_teams,
)
from gateway.adapters.config_state import config_state, read_state
from gateway.adapters.directory_changes import Change, changing
from gateway.adapters.directory_values import ChangedMeanwhile
from gateway.adapters.price_rows import add_override, override_row, stored_prices
from gateway.core.alerts import AlertKind
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.config_document import Config
from gateway.core.config_fields import nano
from gateway.core.config_plan import Action, Plan, Step, plan_of
from gateway.core.config_prices import StatedPrice
from gateway.core.policy import Sharing
from gateway.core.prices import PriceBook
from gateway.core.roles import Principal


def planned(engine: Engine, config: Config) -> Plan:
    """What would have to be done now. Raises InvalidConfig."""
    return plan_of(config, config_state(engine))


def apply_config(engine: Engine, config: Config, shown: Plan, actor: Principal) -> None:
    """Do what ``shown`` says. An empty plan changes nothing, not even the policy version.

    Raises ChangedMeanwhile where another plan would be due by now, InvalidConfig and
    DirectoryError; then nothing is changed.
    """
    if not shown.steps:
        return
    with changing(engine, actor) as change:
        if plan_of(config, read_state(change.connection)) != shown:
            raise ChangedMeanwhile(
                "the deployment has been changed since the plan was made: look at a new one"
            )
        for step in shown.steps:
            _MAKERS[step.section](change, step)


def _tag(change: Change, step: Step) -> None:
    if step.action is Action.ADD:
        allowed_tags.add_tag_key(change, step.name)
    else:
        allowed_tags.remove_tag_key(change, step.name)


def _team(change: Change, step: Step) -> None:
    new = step.new
    sharing = Sharing(new["sharing"]) if "sharing" in new else Sharing.CLIENT
    if step.action is Action.ADD:
        directory_teams.create_team(change, step.name, sharing)
    elif step.action is Action.RENAME:
        directory_teams.change_team(change, step.name, name=new["name"])
    elif step.action is Action.CHANGE:
        directory_teams.change_team(change, step.name, sharing)
    else:
        directory_teams.remove_team(change, step.name)


def _client(change: Change, step: Step) -> None:
    new = step.new
    if step.action is Action.ADD:
        directory_clients.create_client(change, new.pop("team"), step.name, **_limits(new))
    elif step.action is Action.RENAME:
        directory_clients.change_client(change, step.name, new["name"])
    elif step.action is Action.CHANGE:
        directory_clients.change_client(change, step.name, **_limits(new))
    else:
        directory_clients.remove_client(change, step.name)


def _limits(new: Mapping[str, Any]) -> dict[str, Any]:
    columns = dict(new)
    if "outage_allowance_usd" in columns:
        columns["outage_allowance_nano"] = nano(columns.pop("outage_allowance_usd"))
    return columns


def _budget(change: Change, step: Step) -> None:
    new = step.new
    if step.action in (Action.REMOVE, Action.REPLACE):
        directory_budgets.remove_budget(change, step.name)
    if step.action in (Action.ADD, Action.REPLACE):
        directory_budgets.create_budget(
            change,
            step.name,
            limit_nano=nano(new["limit_usd"]),
            window=WindowKind(new["window"]),
            team=new["team"],
            client=new["client"],
            time_zone=new["time_zone"],
            enforcement=Enforcement(new["enforcement"]),
            model_pattern=new["model_pattern"],
            tag=new["tag"],
        )
    elif step.action is Action.RENAME:
        directory_budgets.change_budget(change, step.name, new_name=new["name"])
    elif step.action is Action.CHANGE:
        directory_budgets.change_budget(
            change,
            step.name,
            limit_nano=nano(new["limit_usd"]) if "limit_usd" in new else None,
            enforcement=Enforcement(new["enforcement"]) if "enforcement" in new else None,
        )


def _rule(change: Change, step: Step) -> None:
    new = step.new
    if step.action in (Action.REMOVE, Action.REPLACE):
        alert_rules.remove_rule(change, step.name)
    if step.action in (Action.ADD, Action.REPLACE):
        alert_rules.create_rule(
            change,
            step.name,
            AlertKind(new["kind"]),
            new["channels"],
            percents=new["percents"],
            budget=new["budget"],
            team=new["team"],
            client=new["client"],
        )
    elif step.action is Action.RENAME:
        alert_rules.change_rule(change, step.name, new_name=new["name"])
    elif step.action is Action.CHANGE:
        alert_rules.change_rule(
            change,
            step.name,
            percents=new.get("percents", ()),
            channels=new.get("channels", ()),
        )


def _price(change: Change, step: Step) -> None:
    stated = step.price
    assert stated is not None
    add_override(change, _row(change, stated))


def _row(change: Change, stated: StatedPrice) -> Any:
    base = PriceBook(stored_prices(change.connection)).find(stated.model, stated.valid_from)
    window, most = stated.context_window, stated.output_tokens_max
    if base is not None:
        window, most = window or base.context_window, most or base.output_tokens_max
    tiers = stated.completed(base.tiers if base is not None else {})
    return override_row(stated.model, tiers, stated.valid_from, window, most)


_MAKERS: Mapping[str, Callable[[Change, Step], None]] = {
    "tags": _tag,
    "teams": _team,
    "clients": _client,
    "budgets": _budget,
    "alert_rules": _rule,
    "prices": _price,
}
