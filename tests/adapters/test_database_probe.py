from __future__ import annotations

from pathlib import Path

import gevent
import pytest
from sqlalchemy import Engine, event

from gateway.adapters import database_probe
from gateway.adapters.database import open_engine
from gateway.adapters.database_probe import DatabaseProbe


def _count_connections(engine: Engine) -> list[object]:
    connections: list[object] = []
    event.listen(engine, "checkout", lambda *made: connections.append(made))
    return connections


def test_many_ask_and_the_database_is_asked_once(engine: Engine) -> None:
    asked = _count_connections(engine)
    probe = DatabaseProbe(engine)
    tasks = [gevent.spawn(probe.answers) for _ in range(50)]
    gevent.joinall(tasks, raise_error=True)
    assert all(task.value for task in tasks)
    assert len(asked) == 1


def test_an_answer_is_not_kept_for_long(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_probe, "FRESH_SECONDS", 0.0)
    asked = _count_connections(engine)
    probe = DatabaseProbe(engine)
    assert probe.answers()
    assert probe.answers()
    assert len(asked) == 2


def test_a_database_that_is_away(tmp_path: Path) -> None:
    assert not DatabaseProbe(open_engine(f"sqlite:///{tmp_path / 'empty.db'}")).answers()
