"""Structured logs. Nothing secret can be written: keys are redacted at the sink."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from gateway.settings import Settings

_SECRETS = re.compile(
    r"\b(?:fg-[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{8,})|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"
)
"""Virtual keys, provider keys, and the user and password of a URL."""


def redact(text: str) -> str:
    """``text`` without the secrets in it."""
    return _SECRETS.sub("[redacted]", text)


def _redact_event(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Any:
    for field, value in event.items():
        if isinstance(value, str):
            event[field] = redact(value)
    return event


def set_up_logs(settings: Settings) -> None:
    """Log to standard error in the configured format."""
    level = getattr(logging, settings.log_level.upper())
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
