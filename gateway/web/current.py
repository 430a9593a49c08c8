"""What the routes of one application work with, kept in ``app.extensions``."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine

from gateway.adapters.database_probe import DatabaseProbe
from gateway.adapters.file_contents import FileContents
from gateway.adapters.first_answers import FirstAnswers
from gateway.adapters.identity_provider import IdentityProvider
from gateway.adapters.model_list import ModelList
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.refusal_counts import RefusalCounts
from gateway.adapters.roll_call import RollCall
from gateway.exchange import Gate

_NAME = "faregate"


@dataclass(frozen=True)
class Services:
    """Built once by ``create_app``."""

    gate: Gate
    budgets: RedisBudgets
    models: ModelList
    answers: FirstAnswers
    contents: FileContents
    database: DatabaseProbe
    roll_call: RollCall
    refusals: RefusalCounts
    engine: Engine
    """For what the control plane reads and changes: through ``threads.on_control_thread`` and
    ``on_report_thread``."""
    identity_provider: IdentityProvider | None


def keep(extensions: dict[str, object], services: Services) -> None:
    """Put ``services`` where ``services()`` finds them."""
    extensions[_NAME] = services


def services() -> Services:
    """The services of the application that serves this request."""
    found = current_app.extensions[_NAME]
    assert isinstance(found, Services)
    return found
