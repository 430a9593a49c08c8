"""Every page of the dashboard, once: a test holds this list against the routes that are served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.roles import Role


@dataclass(frozen=True, slots=True)
class Shown:
    """A page: its route, who looks (None for nobody yet), and where it differs by what it shows,
    the query of the view."""

    rule: str
    role: Role | None = Role.ADMIN
    query: str = ""

    @property
    def name(self) -> str:
        """What tests and pictures of the page are called."""
        words = re.sub(r"<[^>]*>", "one", self.rule.strip("/")) or "overview"
        seen_by = "" if self.role in (Role.ADMIN, None) else f"-{self.role.value}"
        view = f"-{self.query}" if self.query else ""
        return re.sub(r"[^a-z0-9]+", "-", f"{words}{view}{seen_by}".lower()).strip("-")

    def path(self, places: Mapping[str, Any]) -> str:
        """The address of the page, with the ids of ``places``."""
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(places[found[1]]), self.rule)
        return f"{path}?{self.query}" if self.query else path


PAGES = (
    Shown("/sign-in", None),
    Shown("/"),
    Shown("/", Role.OWNER),
    Shown("/", Role.ADMIN, "range=24h&group=model"),
    Shown("/me", Role.OWNER),
    Shown("/teams"),
    Shown("/teams/new"),
    Shown("/teams/<int:team_id>"),
    Shown("/teams/<int:team_id>/edit"),
    Shown("/teams/<int:team_id>/remove"),
    Shown("/clients/new"),
    Shown("/clients/<int:client_id>"),
    Shown("/clients/<int:client_id>/edit"),
    Shown("/clients/<int:client_id>/remove"),
    Shown("/clients/<int:client_id>/keys/new"),
    Shown("/keys/<int:key_id>/edit"),
    Shown("/keys/<int:key_id>/rotate"),
    Shown("/keys/<int:key_id>/revoke"),
    Shown("/budgets"),
    Shown("/budgets/new"),
    Shown("/budgets/<int:budget_id>"),
    Shown("/budgets/<int:budget_id>/edit"),
    Shown("/budgets/<int:budget_id>/remove"),
    Shown("/requests"),
    Shown("/requests", Role.ADMIN, "range=30d&model=no-such-model"),
    Shown("/requests/<request_id>"),
    Shown("/api-docs"),
    Shown("/prices"),
    Shown("/prices/new"),
    Shown("/prices/<int:price_id>"),
    Shown("/reconciliation"),
    Shown("/reconciliation/<int:reconciliation_id>"),
    Shown("/alerts"),
    Shown("/alerts/rules/new"),
    Shown("/alerts/channels/new"),
    Shown("/alerts/<what>/remove", Role.ADMIN, "name=unusual%20hours"),
    Shown("/audit-log"),
    Shown("/people"),
    Shown("/people/new"),
    Shown("/people/<int:user_id>/edit"),
    Shown("/tokens/new"),
    Shown("/tokens/<int:token_id>/revoke"),
    Shown("/tags"),
    Shown("/tags/<name>/remove"),
    Shown("/health"),
)

NO_PAGES = re.compile(
    r"/(v1|admin/api|static|healthz|readyz|metrics|openapi\.json|sign-out|sign-in/oidc)(/|$)"
)
"""Routes that are for programs, and those that only send the browser elsewhere."""
