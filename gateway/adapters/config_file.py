"""Configuration documents as TOML files: read strictly, and written so that people can go on."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import AoT, InlineTable, Table

from gateway.core.config_document import KINDS, Config, InvalidConfig, parse_config
from gateway.core.config_plan import State
from gateway.core.config_prices import price_value

_HEAD = (
    "The configuration of a Faregate deployment; `faregate apply FILE` makes it so.",
    "What is not said here stays as it is. Things that are not named here are removed only",
    "from the sections that `manage` lists. Keys and other secrets are in no file.",
)
_MANAGE = 'manage = ["tags", "teams", "clients", "budgets", "alert_rules"]'


def read_config(text: bytes) -> Config:
    """The configuration in a TOML file. Raises InvalidConfig."""
    try:
        return parse_config(tomllib.loads(text.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise InvalidConfig([f"the file is not UTF-8 (byte {error.start})"]) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig([f"not TOML: {error}"]) from None
    except RecursionError:
        raise InvalidConfig(["nested too deeply"]) from None


def config_text(state: State) -> str:
    """``state`` as a document: applied to where it comes from, it changes nothing."""
    document = tomlkit.document()
    for line in _HEAD:
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    document.add(tomlkit.comment(_MANAGE))
    document.add(tomlkit.nl())
    document.add("tags", tomlkit.item(list(state.tags)))
    for section in KINDS:
        if things := state.section(section):
            document.add(section, _section(things))
    if prices := _prices(state):
        document.add("prices", prices)
    return tomlkit.dumps(document)


def _section(things: Mapping[str, Mapping[str, Any]]) -> Table:
    section = tomlkit.table(is_super_table=True)
    for name, fields in sorted(things.items()):
        thing = tomlkit.table()
        for field, value in fields.items():
            if value is not None:
                thing.add(field, value)
        section.add(tomlkit.key(name), thing)
    return section


def _prices(state: State) -> AoT | None:
    """The row that counts of each model and moment: the one that was written last."""
    rows = {(row.model, row.valid_from): row for row in sorted(state.prices, key=lambda r: r.id)}
    if not rows:
        return None
    found = tomlkit.aot()
    for _, row in sorted(rows.items()):
        price = tomlkit.table()
        for field, value in price_value(row).items():
            price.add(field, _tiers(value) if field == "tiers" else value)
        found.append(price)
    return found


def _tiers(tiers: Mapping[str, Mapping[str, Any]]) -> Table:
    found = tomlkit.table(is_super_table=True)
    for tier, rates in tiers.items():
        table = tomlkit.table()
        for meter, rate in rates.items():
            table.add(meter, _inline(rate) if isinstance(rate, Mapping) else rate)
        found.add(tomlkit.key(tier), table)
    return found


def _inline(rate: Mapping[str, Any]) -> InlineTable:
    found = tomlkit.inline_table()
    for field, value in rate.items():
        if isinstance(value, list):
            steps = tomlkit.array()
            for step in value:
                steps.append(_inline(step))
            found.append(field, steps)
        else:
            found.append(field, value)
    return found
