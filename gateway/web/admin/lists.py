"""Lists of the admin API: what was asked for as a part, and what was found as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Row

from gateway.adapters.directory_pages import Page, Slice
from gateway.core.etags import etag_of
from gateway.web.admin import cursors
from gateway.web.admin.fields import Answer, Listed

_A = TypeVar("_A", bound=Answer)
_L = TypeVar("_L", bound=Answer)
_T = TypeVar("_T")


def part_of(query: Listed) -> Slice:
    """The part of a list that a query asks for. Raises BadRequest for a strange cursor."""
    found = cursors.read(query.cursor, int)
    return Slice(query.limit, 0 if found is None else found[0])


def listed(answer: type[_L], page: Page, make: Callable[[Row[Any]], Answer]) -> _L:
    """A page as the list ``answer``."""
    more = None if page.after is None else cursors.written(page.after)
    return answer.model_validate({"data": [make(row) for row in page.rows], "next": more})


def cut(
    answer: type[_L],
    query: Listed,
    found: Iterable[_T],
    place: Callable[[_T], int | str],
    make: Callable[[_T], Answer],
) -> _L:
    """A part of a list that is short enough to be read whole, in the order of its ``place``."""
    ordered = sorted(found, key=place)
    if ordered:
        after = cursors.read(query.cursor, type(place(ordered[0])))
        if after is not None:
            ordered = [item for item in ordered if place(item) > after[0]]
    shown = ordered[: query.limit]
    more = cursors.written(place(shown[-1])) if len(ordered) > len(shown) else None
    return answer.model_validate({"data": [make(item) for item in shown], "next": more})


def tagged(answer: type[_A], facts: Mapping[str, Any], **more: Any) -> _A:
    """Facts as an answer with their entity tag; ``more`` is what lives and is not in the tag."""
    return answer.model_validate({**facts, **more, "etag": etag_of(facts)})
