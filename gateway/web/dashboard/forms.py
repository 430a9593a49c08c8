"""Forms of pages: what was entered is read field by field, and kept where something is wrong.

A form works without scripts: it is sent, and answered by a redirect to what it made, or by itself
with what is wrong at each field (422). With scripts htmx sends it and morphs the answer in place.
What was changed by somebody else meanwhile is not overwritten: the form carries the entity tag of
what it was filled from, and a conflict says who changed what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from flask import Response, request
from sqlalchemy import Engine

from gateway.adapters import audit_log
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import (
    ChangedMeanwhile,
    DirectoryError,
    InTheWay,
    NotThere,
)
from gateway.adapters.threads import on_control_thread
from gateway.core.errors import BadRequest, Forbidden, NotFound
from gateway.core.money import InvalidAmount, nano_from_usd
from gateway.core.roles import Principal
from gateway.web.admin.announcing import announce
from gateway.web.current import services
from gateway.web.dashboard import shell

ETAG = "etag"
WHOLE_MAX = 10**12
DAYS_MAX = 3650

_T = TypeVar("_T")
_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass
class Form:
    """What somebody has entered, and what is wrong with it, by field. ``""`` is the whole form."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    conflict: str = ""
    """Who changed what meanwhile, where somebody did."""

    @classmethod
    def sent(cls) -> Form:
        """The form of the current request. Raises BadRequest for what no text may have in it."""
        if any("\0" in value for value in request.form.values()):
            raise BadRequest("A form has no NUL in it.")
        return cls({name: value.strip() for name, value in request.form.items()})

    @property
    def seen(self) -> frozenset[str]:
        """The entity tag of what the form was filled from."""
        return frozenset((self.values.get(ETAG, ""),))

    def fail(self, name: str, message: str) -> None:
        """Say what is wrong at a field; the first thing that is wrong stays."""
        self.errors.setdefault(name, _sentence(message))

    def checked(self, name: str, check: Callable[[str], _T], default: _T | None = None) -> Any:
        """A field as ``check`` reads it; ``default`` where it is empty. ValueError is its error."""
        text = self.values.get(name, "")
        if not text:
            if default is None:
                self.fail(name, "this is needed")
            return default
        try:
            return check(text)
        except ValueError as error:
            self.fail(name, str(error))
            return default

    def optional(self, name: str, check: Callable[[str], _T]) -> _T | None:
        """The same for a field that may be empty, which is None."""
        return self.checked(name, check) if self.values.get(name) else None

    def usd(self, name: str) -> int:
        """Nano-dollars of an amount from zero up."""
        found: int = self.checked(name, _nano)
        return found or 0

    def whole(self, name: str) -> int:
        """A whole number from zero; an empty field is zero."""
        found: int = self.checked(name, _whole, 0)
        return found

    def choice(self, name: str, kind: type[_Choice]) -> _Choice:
        """One of the values of an enumeration."""
        try:
            return kind(self.values.get(name, ""))
        except ValueError:
            self.fail(name, f"choose one of {', '.join(kind)}")
            return next(iter(kind))

    def flag(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.values.get(name))

    def days(self, name: str) -> timedelta | None:
        """A number of days; None where the field is empty."""
        found: timedelta | None = self.optional(name, _days)
        return found

    def moment(self, name: str) -> datetime | None:
        """A moment in UTC; None where the field is empty."""
        found: datetime | None = self.optional(name, _moment)
        return found


def lines_of(text: str) -> list[str]:
    """The entries of a field with one on each line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _sentence(message: str) -> str:
    text = message[:1].upper() + message[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _nano(text: str) -> int:
    try:
        nano = nano_from_usd(text.removeprefix("$").replace(",", ""))
    except InvalidAmount:
        raise ValueError("write dollars, such as 250 or 0.50") from None
    if nano < 0:
        raise ValueError("an amount is not below zero")
    return nano


def _whole(text: str) -> int:
    plain = text.replace(",", "").replace("_", "")
    if not (plain.isascii() and plain.isdigit() and int(plain) <= WHOLE_MAX):
        raise ValueError("write a whole number from 0 up")
    return int(plain)


def _days(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= DAYS_MAX):
        raise ValueError(f"write a number of days from 1 to {DAYS_MAX:,}")
    return timedelta(days=int(text))


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("write a date, such as 2026-12-01 or 2026-12-01T15:00") from None


# Changes


def change(viewer: Principal, make: Callable[[Directory], _T]) -> _T:
    """Make a change of the directory as ``viewer``, and announce it to every replica.

    Raises DirectoryError.
    """
    at = services()
    directory = Directory(at.engine, viewer)
    done = on_control_thread(make, directory)
    announce(at, on_control_thread(directory.version))
    return done


def attempt(
    viewer: Principal,
    form: Form,
    make: Callable[[], _T],
    *,
    subject: tuple[str, int] | None = None,
    fields: Mapping[str, str] | None = None,
) -> _T | None:
    """What ``make`` returns; None where it is refused, which the form then says.

    ``subject`` is what is changed, as the audit log names it. ``fields`` say at which field an
    error stands, by a word of its message; a name that is taken is at ``name``. Raises NotFound.
    """
    if form.errors:
        return None
    try:
        return make()
    except NotThere as error:
        raise NotFound(_sentence(str(error))) from error
    except ChangedMeanwhile:
        assert subject is not None
        form.conflict = on_control_thread(_who_changed, services().engine, viewer, *subject)
    except DirectoryError as error:
        form.fail(_place(error, fields or {}), str(error))
    return None


def _place(error: DirectoryError, fields: Mapping[str, str]) -> str:
    for word, name in fields.items():
        if word in str(error):
            return name
    return "name" if isinstance(error, InTheWay) and "exists already" in str(error) else ""


def _who_changed(engine: Engine, viewer: Principal, subject: str, subject_id: int) -> str:
    """Who made the last change of a subject, and what it was."""
    wanted = audit_log.Filters(subject=subject, subject_id=str(subject_id))
    found = audit_log.entries(engine, wanted, audit_log.Page(rows=1)).entries
    if not found:
        return f"This {subject} was changed meanwhile."
    last = found[0]
    who = "you, in another window," if last.actor == viewer.actor else last.actor
    what = "; ".join(
        f"{name.replace('_', ' ')} from {_told(before)} to {_told(after)}"
        for name, (before, after) in last.changed.items()
    )
    when = f"{last.at:%Y-%m-%d %H:%M:%S} UTC"
    said = f": {what}" if what else ""
    return f"At {when} {who} made the change {last.action!r}{said}."


def _told(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return "nothing" if value in (None, "") else str(value)


# Answers


def render(
    template: str,
    viewer: Principal,
    form: Form,
    *,
    title: str,
    crumbs: Iterable[shell.Crumb] = (),
    **values: Any,
) -> Response:
    """The page of a form: 422 where something is wrong, 409 where somebody was quicker."""
    made = shell.render(template, viewer, title=title, crumbs=list(crumbs), form=form, **values)
    made.status_code = 409 if form.conflict else 422 if form.errors else 200
    return made


def done(path: str, text: str) -> Response:
    """Send the browser to ``path``, which says ``text``; htmx is told to leave the page."""
    made = shell.redirect_with(path, text)
    if request.headers.get("HX-Request") == "true":
        made.status_code = 200
        made.headers["HX-Redirect"] = made.headers.pop("Location")
    return made


def allow(may: bool, message: str) -> None:
    """Raise Forbidden with ``message`` unless ``may``."""
    if not may:
        raise Forbidden(message)
