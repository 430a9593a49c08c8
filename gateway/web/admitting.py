"""Admission of the current HTTP request: with the tags it came with, and counted where refused."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import HTTPException

from gateway.admission import admit
from gateway.core.errors import ApiError, Unauthorized
from gateway.core.holds import Hold
from gateway.exchange import Exchange, Prepare
from gateway.web.auth import client_of_key
from gateway.web.current import Services
from gateway.web.errors import as_api_error

_TAGS = "HTTP_X_FAREGATE_TAGS"
"""The header of ``core.tags`` as WSGI names it."""


def admitted(at: Services, prepare: Prepare) -> tuple[Exchange, Hold]:
    """Prepare the current request and place its hold, or raise ApiError or Werkzeug's 413.

    Every route on the paid path is admitted here and nowhere else.
    """
    try:
        return admit(at.gate, prepare, request.environ.get(_TAGS))
    except Unauthorized:
        raise
    except ApiError as error:
        _count(at, error)
        raise
    except HTTPException as error:
        _count(at, as_api_error(error))
        raise


def _count(at: Services, error: ApiError) -> None:
    """Count a refusal, where it is that of a client."""
    # Looked up again, so that what is served does not pay for it.
    client = client_of_key(at.gate.policies.current)
    if client is not None:
        at.refusals.count(client, error)
