"""What is written down, by whatever way it leaves a process, has no secret and no request in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from gateway.adapters.database import open_engine
from gateway.logs import RedactedFormatter, redact, traced

ROOT = Path(__file__).parents[1]
KEY = "fg-" + "k" * 43
CANARY = "canary-of-a-prompt"

EVERY_WAY_OUT = f"""
from gevent import monkey
monkey.patch_all(thread=False)
import logging, sys, threading
import gevent, structlog
from gateway.logs import log_what_nobody_logs, set_up_logs
from gateway.settings import Settings

set_up_logs(Settings(log_level="debug"))
log_what_nobody_logs()
log = structlog.get_logger("test")
log.debug("of.ours", deep=[{{"key": "{KEY}"}}], error=ValueError("{KEY}"))

def fail():
    raise ValueError("{CANARY} {KEY}")

try:
    fail()
except ValueError:
    log.exception("of.ours.failed")
    logging.getLogger("library").exception("of a library")
logging.getLogger("library").warning("Bearer %s", "{KEY}")
logging.getLogger("library").debug("{CANARY}")
gevent.spawn(fail).join()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_every_way_out_of_a_process_is_redacted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERY_WAY_OUT], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    written = done.stdout + done.stderr
    assert KEY not in written
    assert CANARY not in written
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["event"] for event in events] == [
        "of.ours",
        "of.ours.failed",
        "library.says",
        "library.says",
        "greenlet.failed",
        "thread.failed",
        "process.failed",
    ]
    # What went wrong and where is told all the same.
    for event in events[1:3] + events[4:]:
        assert "in fail" in event["exception"]
        assert "ValueError" in event["exception"]


def test_gunicorns_log_is_redacted_with_its_tracebacks() -> None:
    formatter = RedactedFormatter(logging.Formatter("%(levelname)s %(message)s"))
    try:
        raise ValueError(CANARY)
    except ValueError:
        record = logging.LogRecord(
            "gunicorn.error", logging.ERROR, "", 0, "for %s", (f"/v1/x?key={KEY}",), sys.exc_info()
        )
    written = formatter.format(record)
    assert written.startswith("ERROR for /v1/x?[redacted]\n")
    assert CANARY not in written
    assert "test_gunicorns_log_is_redacted" in written


def test_errors_of_stores_are_told_without_values(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with (
        engine.connect() as connection,
        pytest.raises(OperationalError) as raised,
    ):
        connection.execute(text("SELECT * FROM missing WHERE a = :a"), {"a": CANARY})
    told = traced(raised.value)
    assert "no such table: missing" in told
    assert CANARY not in told


def test_a_chain_of_errors_is_told_from_its_beginning() -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise redis.ConnectionError("no Redis at 127.0.0.1") from error
    except redis.ConnectionError as error:
        told = traced(error)
    assert CANARY not in told
    assert told.index("KeyError: (its text is left out") < told.index(
        "redis.exceptions.ConnectionError: no Redis at 127.0.0.1"
    )


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (f"Bearer {KEY}", "Bearer [redacted]"),
        ("sk-proj-abcdefgh12345678", "[redacted]"),
        ("Bearer fga-abcdefgh_12345678", "Bearer [redacted]"),
        ("Cookie: a=b; faregate_session=x-y_z0", "Cookie: a=b; faregate_session=[redacted]"),
        ("redis://user:pass@host:1/0", "redis://[redacted]@host:1/0"),
        ("GET /v1/x?q=what+i+ask&n=1 HTTP/1.1", "GET /v1/x?[redacted] HTTP/1.1"),
        ("Why? n=1 is plain", "Why? n=1 is plain"),
    ],
)
def test_what_is_secret_in_a_text(written: str, left: str) -> None:
    assert redact(written) == left
