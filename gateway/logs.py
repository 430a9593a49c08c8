"""Structured logs. Nothing secret can be written: what is written is redacted at the sink.

Every way out of a process for text is one of: our own events, what libraries tell to ``logging``,
gunicorn's log, and tracebacks of what nobody caught. All of them end here. Tracebacks say where
an error was raised and of what kind it is; its text only where it is known to be no client's,
because an error raised while a request is read may quote it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import gevent
import structlog
from gevent import monkey

from gateway.settings import Settings

_SECRETS = re.compile(
    r"\b(?:fga?-[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{8,})"
    r"|(?<=faregate_session=)[A-Za-z0-9_-]+"
    r"|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"
    r"|(?<=\?)[^\s?'\"]*=[^\s'\"]*"
)
"""Virtual keys, admin tokens, provider keys, sessions, the user and password of a URL, and the
query of one."""

_TELLING = ("redis.", "sqlalchemy.", "psycopg", "gateway.adapters.")
"""Modules whose errors speak of stores and connections, and never of what a client sent."""

_log = structlog.get_logger(__name__)


def redact(text: str) -> str:
    """``text`` without the secrets in it."""
    return _SECRETS.sub("[redacted]", text)


def traced(error: BaseException) -> str:
    """Where ``error`` and what led to it were raised, without texts that may quote a request."""
    return "\n".join(_told(one) for one in reversed(list(_chain(error))))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error``, then its cause, the cause of that, and so on."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _told(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    telling = isinstance(error, OSError) or kind.__module__.startswith(_TELLING)
    text = str(error) if telling else "(its text is left out: it may quote a request)"
    return f"{''.join(traceback.format_tb(error.__traceback__))}{name}: {text}"


class RedactedFormatter(logging.Formatter):
    """Another formatter, without the secrets in what it writes."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The whole text, traceback included."""
        if record.exc_info and record.exc_info[1] is not None:
            # Formatters take what is here for the traceback, and make none of their own.
            record.exc_text = traced(record.exc_info[1])
        return redact(self._inner.format(record))


class _OfLibraries(logging.Handler):
    """Writes as events what libraries tell to ``logging``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        _log.log(record.levelno, "library.says", library=record.name, text=text, exc_info=error)


def _format_error(_logger: Any, _name: str, event: Any) -> Any:
    """structlog's own way to write tracebacks has the errors' texts in it."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = traced(error)
    return event


def _redact_line(_logger: Any, _name: str, line: Any) -> str:
    """The whole line, since a value can be anything that has a text."""
    return redact(str(line))


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
            _format_error,
            renderer,
            _redact_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log_what_nobody_logs() -> None:
    """Log what libraries say, and what ends a thread, a greenlet or the process.

    For a whole process, at its start: by itself all of that goes to standard error as it is.
    """
    # Libraries say much at lower levels, and what they quote there is not ours to judge.
    logging.basicConfig(handlers=[_OfLibraries()], level=logging.WARNING, force=True)
    sys.excepthook = _process_failed
    threading.excepthook = _thread_failed
    if monkey.is_module_patched("socket"):
        hub: Any = gevent.get_hub()
        hub.print_exception = _greenlet_failed


def _process_failed(_kind: type[BaseException], error: BaseException, _traceback: Any) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    _log.critical("process.failed", exc_info=error)


def _thread_failed(failed: Any) -> None:
    if failed.exc_value is not None:
        _log.critical("thread.failed", exc_info=failed.exc_value)


def _greenlet_failed(_context: Any, _kind: Any, error: Any, _traceback: Any) -> None:
    if isinstance(error, BaseException):
        _log.critical("greenlet.failed", exc_info=error)
