"""One deployment with people and weeks of history, whose pages the browser opens."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import openai
from sqlalchemy import func, select

from gateway.adapters.accounts import Accounts
from gateway.adapters.passwords import hash_password
from gateway.adapters.sessions import Sessions
from gateway.adapters.tables import keys, usage_records
from gateway.core.roles import Principal, Role
from tests.browser.events import Events, make_events
from tests.browser.history import History, make_history
from tests.e2e.rig import Rig

PASSWORD = "correct horse battery"
BY = Principal("cli:tests", Role.ADMIN)
PEOPLE = {
    Role.ADMIN: ("ann@acme.example", "Ann", None),
    Role.FINANCE: ("finn@acme.example", "Finn", None),
    Role.OWNER: ("olga@acme.example", "Olga", "support"),
}
"""Who works here: address, name, and the team of an owner."""


class Deployment:
    """A rig, the people who may sign in, and where things are in its pages."""

    def __init__(
        self, rig: Rig, history: History | None = None, events: Events | None = None
    ) -> None:
        self.rig, self.history, self.events = rig, history, events
        self.url = f"http://127.0.0.1:{rig.port}"
        self.host = f"127.0.0.1:{rig.port}"
        self._accounts = Accounts(rig.engine)
        hashed = hash_password(PASSWORD)
        for role, (email, name, team) in PEOPLE.items():
            if team is None or history is not None:
                self._accounts.create(BY, email, role, name=name, team=team, password_hash=hashed)

    def cookie(self, role: Role) -> str:
        """The session cookie of a browser that somebody of ``role`` has just signed in with."""
        found = self._accounts.find(PEOPLE[role][0])
        assert found is not None
        return Sessions(self.rig.engine).begin(found[0], "127.0.0.1", "password").cookie

    def sdk(self, secret: str) -> openai.OpenAI:
        """OpenAI's own client, pointed here."""
        return openai.OpenAI(api_key=secret, base_url=f"{self.url}/v1", max_retries=0)

    @cached_property
    def places(self) -> dict[str, Any]:
        """What stands in the addresses of pages: the ids of one thing of each kind."""
        assert self.history is not None
        assert self.events is not None
        owner = self._accounts.find(PEOPLE[Role.OWNER][0])
        assert owner is not None
        chatbot = self.history.clients["chatbot"]
        u = usage_records.c
        key = select(func.min(keys.c.id)).where(keys.c.client_id == chatbot)
        request = (
            select(u.request_id)
            .where(u.client_id == chatbot, u.certainty == "exact", u.cached_input_tokens > 0)
            .order_by(u.held_at.desc())
            .limit(1)
        )
        with self.rig.engine.connect() as connection:
            return {
                "team_id": self.history.teams["support"],
                "client_id": chatbot,
                "budget_id": self.history.budgets["support-monthly"],
                "key_id": connection.execute(key).scalar_one(),
                "request_id": connection.execute(request).scalar_one(),
                "price_id": self.events.price,
                "reconciliation_id": self.events.reconciliation,
                "user_id": owner[0].id,
                "token_id": self.events.token,
                "what": "rule",
                "name": "feature",
            }


def with_history(
    rig: Rig, now: datetime | None = None, *, days: int = 45, per_day: int = 30
) -> Deployment:
    """``rig`` with weeks of history before ``now``."""
    at = now or datetime.now(UTC)
    history = make_history(rig.engine, rig.budgets, at, days=days, per_day=per_day)
    found = Deployment(rig, history, make_events(rig.engine, history, at))
    rig.publish()
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by the names of its columns."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
