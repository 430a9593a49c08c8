"""Lists of the organization API: their query, their envelope, and how bad input is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from flask import request

from gateway.adapters.directory_values import ChangedMeanwhile, DirectoryError, InTheWay, NotThere
from gateway.core.errors import BadRequest, Conflict, NotFound
from gateway.core.organization_ids import PROJECT, number_of
from gateway.core.roles import Principal
from gateway.web.openai.organization_pages import Answer, from_sql, json_answer

LIMIT_MAX = 100
LIMIT_USUAL = 20

_T = TypeVar("_T")


def not_found(what: str, given: str) -> NotFound:
    """The error of an id that names nothing, or nothing that one may see."""
    return NotFound(f"No such {what}: {given[:80]!r}.")


def number_in(prefix: str, given: str, what: str) -> int:
    """The number in the id of a ``what``. Raises NotFound."""
    number = number_of(prefix, given)
    if number is None:
        raise not_found(what, given)
    return number


def project_of(asks: Principal, given: str) -> int:
    """The team that ``proj_...`` names. Raises NotFound, also where ``asks`` may not see it."""
    team_id = number_in(PROJECT, given, "project")
    if not asks.sees_team(team_id):
        raise not_found("project", given)
    return team_id


def check_query(known: Iterable[str]) -> None:
    """Raises BadRequest for a parameter that is not among ``known``."""
    names = {name.removesuffix("[]") for name in request.args}
    if unknown := sorted(names - set(known)):
        raise BadRequest(f"Unknown query parameter: {unknown[0][:80]!r}.", param=unknown[0][:80])


def limit() -> int:
    """The ``limit`` of the current request. Raises BadRequest."""
    given = request.args.get("limit", str(LIMIT_USUAL))
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise BadRequest("'limit' must be a whole number.", param="limit")
    if not 1 <= int(given) <= LIMIT_MAX:
        raise BadRequest(f"'limit' must be from 1 to {LIMIT_MAX}.", param="limit")
    return int(given)


def after(prefix: str) -> int | None:
    """The number in the ``after`` of the current request. Raises BadRequest."""
    given = request.args.get("after")
    if given is None:
        return None
    number = number_of(prefix, given)
    if number is None:
        raise BadRequest(f"'after' must be an id such as {prefix}1.", param="after")
    return number


def is_descending(usual: str = "asc") -> bool:
    """Whether the current request asks for the newest first. Raises BadRequest."""
    given = request.args.get("order", usual)
    if given not in ("asc", "desc"):
        raise BadRequest("'order' must be asc or desc.", param="order")
    return given == "desc"


def listed(data: Sequence[dict[str, Any]], has_more: bool) -> Answer:
    """A page of objects with ids."""
    return json_answer(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": has_more,
        }
    )


def changed(call: Callable[..., _T], *args: Any) -> _T:
    """``call(*args)``, which changes the directory. Raises what it says no with as ApiError."""
    try:
        return from_sql(call, *args)
    except NotThere as error:
        raise NotFound(_sentence(error)) from None
    except (InTheWay, ChangedMeanwhile) as error:
        raise Conflict(_sentence(error), code="conflict") from None
    except DirectoryError as error:
        raise BadRequest(_sentence(error)) from None


def _sentence(error: DirectoryError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
