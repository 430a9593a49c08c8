"""Runs `faregate` in this process, and writes usage down for it to show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Engine

from gateway.adapters.database import open_engine
from gateway.adapters.directory import Directory
from gateway.adapters.usage_rows import record
from gateway.cli.main import main
from gateway.core.events import parse_event

Line = tuple[str, int, int, int]


class Faregate:
    """The command, run as people and scripts run it."""

    def __init__(self, database_url: str) -> None:
        self.engine = open_engine(database_url, pooled=False)
        self.directory = Directory(self.engine)

    def run(self, *words: str, code: int = 0) -> Result:
        """Run a command line; it must exit with ``code`` and never end in a bare exception."""
        result = CliRunner().invoke(main, words, prog_name="faregate")
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def ask(self, *words: str) -> Any:
        """What a command line prints with --json."""
        return json.loads(self.run(*words, "--json").stdout)

    def refused(self, *words: str) -> str:
        """The one sentence on standard error of a command line that fails."""
        result = self.run(*words, code=1)
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0].removeprefix("Error: ")


def record_request(
    engine: Engine,
    request_id: str = "req_1",
    *,
    cost: int = 1,
    at: datetime | None = None,
    kind: str = "request",
    client_id: int = 1,
    model: str = "gpt-3.5-turbo",
    certainty: str = "exact",
    status: int = 200,
    lines: Sequence[Line] = (),
    price_id: int | None = None,
    windows: str = "",
    usage: Mapping[str, int] | None = None,
) -> None:
    """Record one request as the recorder does, from the event that the scripts emit.

    ``windows`` are "budget id:window start ms:held nano:limit nano:enforcement".
    """
    moment = int((at or datetime.now(UTC)).timestamp() * 1000)
    context = {
        "team_id": 1,
        "client_id": client_id,
        "key_id": 1,
        "endpoint": "chat/completions",
        "model": model,
        "tier": "default",
        "streamed": False,
        "price_id": price_id,
    }
    result = {
        "status": status,
        "certainty": certainty,
        "lines": lines,
        "usage": {"input_tokens": 10, "output_tokens": 5, **(usage or {})},
    }
    fields = {
        "id": request_id,
        "kind": kind,
        "outcome": "settled",
        "cost": str(cost),
        "hold": "5000",
        "held_at": str(moment),
        "at": str(moment),
        "budgets": windows,
        "context": json.dumps(context),
        "result": json.dumps(result),
    }
    event = parse_event({name.encode(): value.encode() for name, value in fields.items()})
    assert record(engine, [event]) == 1
