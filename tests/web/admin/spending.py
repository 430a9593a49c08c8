"""Usage for the tests of what is reported of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from gateway.adapters.usage_rows import record
from tests.adapters.recorded import event
from tests.web.control import Control


class Spender:
    """A client of a team of its own, that has spent something."""

    def __init__(self, control: Control, team: str | None = None) -> None:
        self._control = control
        self.team = team or control.team()
        self.client = f"client-{uuid4().hex[:8]}"
        self.team_id = control.directory.require_team(self.team)
        self.client_id = control.directory.create_client(self.team, self.client)
        self.key_id = control.directory.create_key(self.client).id
        control.publish()

    def spend(self, cost: int, *, hours_ago: float = 1, **changes: Any) -> str:
        """Record a request; returns its id."""
        request_id = f"req_{uuid4().hex[:12]}"
        at = datetime.now(UTC) - timedelta(hours=hours_ago)
        made = event(
            request_id,
            cost,
            at=int(at.timestamp() * 1000),
            team_id=self.team_id,
            client_id=self.client_id,
            key_id=self.key_id,
            **changes,
        )
        assert record(self._control.engine, [made]) == 1
        return request_id
