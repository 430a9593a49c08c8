"""Every Redis key of Faregate. All share one hash tag, so that scripts run on one node."""

from __future__ import annotations


class RedisKeys:
    """Builds key names under one prefix, which is also their hash tag."""

    def __init__(self, prefix: str) -> None:
        self._base = f"{{{prefix}}}:"
        self.state = self._base + "state"
        """Hash: the epoch and sequence of all counters, and whether requests are admitted."""
        self.present = self._base + "present"
        """Hash of gateway workers: when each was last alive, and what it has presented."""
        self.policy_version = self._base + "policy"
        self.holds = self._base + "holds"
        self.events = self._base + "events"
        self.rejected_events = self._base + "rejected-events"
        self.objects_waiting = self._base + "objects-waiting"
        """Hash of owned objects that SQL does not have yet, by kind and id."""

    def hold(self, request_id: str) -> str:
        """Hash of one hold."""
        return f"{self._base}hold:{request_id}"

    def first_answer(self, client_id: int, key_hash: str) -> str:
        """Hash of the first answer under one of a client's idempotency keys."""
        return f"{self._base}first:{client_id}:{key_hash}"

    def sign_ins(self, kind: str, who: str) -> str:
        """Counter of recent tries to sign in, of one e-mail address or network address."""
        return f"{self._base}sign-ins:{kind}:{who}"

    def client_pattern(self) -> str:
        """Matches every client's limits."""
        return self._base + "client:*"

    def client(self, client_id: int) -> str:
        """Hash of one client's limits: requests in flight and rate allowances."""
        return f"{self._base}client:{client_id}"

    def need(self, client_id: int, model: str) -> str:
        """Hash of what a client's requests to a model have needed."""
        return f"{self._base}need:{client_id}:{model}"

    def budget(self, budget_id: int, window_start_ms: int) -> str:
        """Hash of one budget window: nano-dollars spent and held."""
        return f"{self._base}budget:{budget_id}:{window_start_ms}"

    def budget_pattern(self) -> str:
        """Matches every budget window."""
        return self._base + "budget:*"
