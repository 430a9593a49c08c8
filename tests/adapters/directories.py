"""A small directory for tests, and what its audit log says."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from gateway.adapters import audit_log
from gateway.adapters.directory import Directory
from gateway.core.roles import Principal, Role

ANN = Principal("user:ann@acme.example", Role.ADMIN, address="192.0.2.7")


def small_directory(engine: Engine) -> Directory:
    """The team ``search`` with the client ``bot``, made and changed by Ann."""
    found = Directory(engine, ANN)
    found.initialise("Acme")
    found.create_team("search")
    found.create_client("search", "bot")
    return found


def noted(engine: Engine, skip: int = 2) -> list[tuple[str, str, str, Any, Any]]:
    """Every entry after the first ``skip``, oldest first."""
    found = reversed(audit_log.entries(engine).entries)
    return [
        (entry.action, entry.subject, entry.subject_name, entry.before, entry.after)
        for entry in found
    ][skip:]
