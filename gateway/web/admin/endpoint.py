"""Endpoints of the admin API: declared with their models, so that each is checked and described.

A function takes a ``Call`` and the ids of its path, and returns its answer's model. Everything else
(who asks, what was sent, entity tags, errors, announcing a change) happens here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
import structlog
from flask import Blueprint, Response
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import (
    ChangedMeanwhile,
    DirectoryError,
    InTheWay,
    NotThere,
)
from gateway.adapters.threads import on_control_thread, on_report_thread
from gateway.core import errors
from gateway.core.errors import ApiError
from gateway.core.money import InvalidAmount
from gateway.core.price_overrides import InvalidOverride
from gateway.core.roles import Principal, Role
from gateway.web.admin.announcing import announce
from gateway.web.admin.fields import Body, Query
from gateway.web.admin.reading import read_body, read_query, read_seen
from gateway.web.current import Services, services
from gateway.web.principals import principal

PREFIX = "/admin/api/v1"

READERS = (Role.ADMIN, Role.FINANCE, Role.OWNER)
"""Who reads: an owner, of the own team."""
SEE_ALL = (Role.ADMIN, Role.FINANCE)
WRITERS = (Role.ADMIN, Role.OWNER)
"""Who changes: an owner, within the own team."""
ADMINS = (Role.ADMIN,)
EVERYONE = tuple(Role)

_log = structlog.get_logger(__name__)
_Q = TypeVar("_Q", bound=Query)
_B = TypeVar("_B", bound=Body)
_T = TypeVar("_T")
_View = TypeVar("_View", bound=Callable[..., BaseModel])


class NoQuery(Query):
    """Takes no parameters."""


class NoBody(Body):
    """Takes no fields."""


@dataclass(frozen=True)
class Call(Generic[_Q, _B]):
    """One request, read and allowed by its role; what it may see is for the function to check."""

    principal: Principal
    query: _Q
    body: _B
    seen: frozenset[str] | None
    at: Services

    @property
    def directory(self) -> Directory:
        """The directory, changed as who asks."""
        return Directory(self.at.engine, self.principal)

    def sql(self, ask: Callable[..., _T], *args: Any) -> _T:
        """What ``ask(*args)`` says, in a thread that may wait for the database."""
        return on_control_thread(ask, *args)

    def report(self, ask: Callable[..., _T], *args: Any) -> _T:
        """The same for what may take long: nothing else of this API waits for it."""
        return on_report_thread(ask, *args)

    def change(self, make: Callable[[Directory], _T]) -> _T:
        """Make a change, and announce it: every replica decides by it within a second."""
        directory = self.directory
        done = on_control_thread(make, directory)
        announce(self.at, on_control_thread(directory.version))
        return done


@dataclass(frozen=True)
class Endpoint:
    """One method of one path, as it is served and described."""

    name: str
    method: str
    path: str
    summary: str
    says: str
    group: str
    roles: tuple[Role, ...]
    query: type[Query]
    body: type[Body]
    answer: type[BaseModel]
    status: int
    conditional: bool
    """Whether ``If-Match`` must say what the change was decided on."""
    has_etag: bool


@dataclass
class Api:
    """The endpoints of one subject."""

    name: str
    says: str
    endpoints: list[Endpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blueprint = Blueprint(f"admin_{self.name.replace('-', '_')}", __name__)

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        answer: type[BaseModel],
        roles: Sequence[Role] = READERS,
        query: type[Query] = NoQuery,
        body: type[Body] = NoBody,
        status: int = 200,
    ) -> Callable[[_View], _View]:
        """Declare a function as an endpoint; its docstring is what the description says."""

        def declare(view: _View) -> _View:
            summary, _, says = (view.__doc__ or "").strip().partition("\n\n")
            declared = Endpoint(
                name=view.__name__,
                method=method,
                path=PREFIX + path,
                summary=" ".join(summary.split()),
                says=" ".join(says.split()),
                group=self.name,
                roles=tuple(roles),
                query=query,
                body=body,
                answer=answer,
                status=status,
                conditional=method in ("PATCH", "PUT", "DELETE"),
                has_etag="etag" in answer.model_fields,
            )
            self.endpoints.append(declared)

            def run(**path_ids: Any) -> Response:
                return _run(declared, view, path_ids)

            self.blueprint.add_url_rule(
                declared.path, endpoint=declared.name, view_func=run, methods=[method]
            )
            return view

        return declare


def _run(declared: Endpoint, view: Callable[..., BaseModel], path_ids: dict[str, Any]) -> Response:
    who = principal(*declared.roles)
    call = Call(
        principal=who,
        query=read_query(declared.query),
        body=NoBody() if declared.body is NoBody else read_body(declared.body),
        seen=read_seen(required=declared.conditional),
        at=services(),
    )
    try:
        answer = view(call, **path_ids)
    except OperationalError as error:
        _log.warning("admin.database", reason=type(error.orig).__name__)
        raise errors.StoreUnavailable(
            "The database cannot be used at the moment. Try again shortly.",
            headers={"retry-after": "1"},
        ) from None
    except (DirectoryError, InvalidOverride, InvalidAmount) as error:
        raise _as_api_error(error) from None
    made = Response(
        orjson.dumps(answer.model_dump(mode="json")),
        status=declared.status,
        content_type="application/json",
    )
    if declared.has_etag:
        made.headers["ETag"] = f'"{answer.etag}"'  # type: ignore[attr-defined]
    return made


_SAID_HERE = {"--free": '"free": true', "--above": "`above`"}
"""What messages call by the options of the command line."""


def _as_api_error(error: Exception) -> ApiError:
    text = str(error)
    for option, name in _SAID_HERE.items():
        text = text.replace(option, name)
    said = f"{text[:1].upper()}{text[1:]}."
    if isinstance(error, NotThere):
        # The command line's hint is of no use here.
        return errors.NotFound(f"{said.partition(':')[0].rstrip('.')}.")
    if isinstance(error, InTheWay):
        return errors.Conflict(said, code="in_the_way")
    if isinstance(error, ChangedMeanwhile):
        return errors.PreconditionFailed(said)
    return errors.BadRequest(said)


def not_found(what: str, name: int | str) -> errors.NotFound:
    """As for what does not exist: what one may not see is not there."""
    return errors.NotFound(f"There is no {what} {name}.")
