"""Spend limits: of all the budgets, the one that OpenAI's API calls the hard limit of a month.

It is the monthly budget in UTC on the organization or on a team that refuses, and is narrowed to no
model or tag: made here or anywhere else. Of several, it is the one with the lowest limit.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Row, Select

from gateway.adapters.directory import Directory
from gateway.adapters.directory_budgets import (
    NAMED,
    change_budget,
    create_budget,
    remove_budget,
)
from gateway.adapters.directory_changes import COMMAND_LINE
from gateway.adapters.tables import budgets
from gateway.core.budgets import Enforcement, Scope, WindowKind
from gateway.core.roles import Principal

NAME = "spend limit"


def monthly(team_id: int | None) -> Select[Any]:
    """Monthly budgets in UTC on a team, or on the organization, that are narrowed to nothing."""
    b = budgets.c
    scope = Scope.ORGANIZATION if team_id is None else Scope.TEAM
    return NAMED.where(
        b.removed_at.is_(None),
        b.scope == scope.value,
        b.team_id.is_(None) if team_id is None else b.team_id == team_id,
        b.window == WindowKind.MONTH.value,
        b.time_zone == "UTC",
        b.model_pattern.is_(None),
        b.tag.is_(None),
    )


class SpendLimits:
    """Reads and changes spend limits; ``team_id`` None is the organization's. Methods raise
    DirectoryError."""

    def __init__(self, engine: Engine, actor: Principal = COMMAND_LINE) -> None:
        self._engine = engine
        self._directory = Directory(engine, actor)

    def find(self, team_id: int | None) -> Row[Any] | None:
        """The budget that is the spend limit, if there is one."""
        with self._engine.connect() as connection:
            return connection.execute(_hard(team_id)).first()

    def set(self, team_id: int | None, limit_nano: int) -> None:
        """Change the spend limit, or make one."""
        with self._directory.change() as change:
            found = change.connection.execute(_hard(team_id)).first()
            if found is not None:
                change_budget(change, found.id, limit_nano=limit_nano)
                return
            create_budget(
                change,
                NAME if team_id is None else f"{NAME} of team {team_id}",
                limit_nano=limit_nano,
                window=WindowKind.MONTH,
                team=team_id,
            )

    def remove(self, team_id: int | None) -> bool:
        """Remove the spend limit; False where there is none."""
        with self._directory.change() as change:
            found = change.connection.execute(_hard(team_id)).first()
            if found is not None:
                remove_budget(change, found.id)
            return found is not None


def _hard(team_id: int | None) -> Select[Any]:
    b = budgets.c
    refusing = monthly(team_id).where(b.enforcement != Enforcement.SOFT.value)
    return refusing.order_by(b.limit_nano, b.id)
