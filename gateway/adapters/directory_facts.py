"""Rows of the directory as programs see them: amounts in decimal dollars, times in RFC 3339.

One form for the admin API, the audit log, exported configuration and entity tags. What lives (how
much of a budget is spent, whether a key has expired by now) is no part of it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from gateway.core.money import decimal_usd
from gateway.core.timestamps import timestamp


def team_facts(row: Row[Any]) -> dict[str, Any]:
    """A row of the teams table."""
    return {
        "id": row.id,
        "name": row.name,
        "sharing": row.sharing,
        "created_at": timestamp(row.created_at),
    }


def client_facts(row: Row[Any]) -> dict[str, Any]:
    """A row of the clients table with ``team_name``."""
    return {
        "id": row.id,
        "name": row.name,
        "team_id": row.team_id,
        "team": row.team_name,
        "allowed_models": json.loads(row.allowed_models),
        "requests_per_minute": row.requests_per_minute,
        "tokens_per_minute": row.tokens_per_minute,
        "concurrent_requests": row.concurrent_requests,
        "default_output_tokens": row.default_output_tokens,
        "output_floor_tokens": row.output_floor_tokens,
        "clamp_output": row.clamp_output,
        "may_fine_tune": row.may_fine_tune,
        "outage_allowance_usd": decimal_usd(row.outage_allowance_nano),
        "created_at": timestamp(row.created_at),
    }


def key_facts(row: Row[Any]) -> dict[str, Any]:
    """A row of the keys table with ``client_name`` and ``team_id``; never a secret or a hash."""
    return {
        "id": row.id,
        "name": row.name,
        "display": f"{row.prefix}...{row.last_four}",
        "client_id": row.client_id,
        "client": row.client_name,
        "team_id": row.team_id,
        "expires_at": timestamp(row.expires_at),
        "revoked_at": timestamp(row.revoked_at),
        "created_at": timestamp(row.created_at),
    }


def budget_facts(row: Row[Any]) -> dict[str, Any]:
    """A row of the budgets table with ``team_name`` and ``client_name``."""
    return {
        "id": row.id,
        "name": row.name,
        "scope": row.scope,
        "team_id": row.team_id,
        "team": row.team_name,
        "client_id": row.client_id,
        "client": row.client_name,
        "limit_usd": decimal_usd(row.limit_nano),
        "window": row.window,
        "time_zone": row.time_zone,
        "enforcement": row.enforcement,
        "model_pattern": row.model_pattern,
        "tag": row.tag,
        "created_at": timestamp(row.created_at),
    }
