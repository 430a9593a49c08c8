"""Tags of the admin API: the names that requests may carry into their records."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints
from sqlalchemy import Row

from gateway.adapters.allowed_tags import tag_facts
from gateway.adapters.directory import Directory
from gateway.core.errors import NotFound
from gateway.core.tags import is_name
from gateway.web.admin.endpoint import ADMINS, Api, Call, NoBody, NoQuery
from gateway.web.admin.fields import Answer, Body, Listed, MomentText, NextCursor
from gateway.web.admin.lists import cut

api = Api("tags", "The tags that requests may carry; others are dropped.")

TagName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,64}$")]


class Tag(Answer):
    """An allowed tag."""

    name: str
    created_at: MomentText


class Tags(Answer):
    """A page of the allowed tags, by name."""

    data: list[Tag]
    next: NextCursor


class NewTag(Body):
    """A tag to allow."""

    name: TagName


class TagRemoved(Answer):
    """What is no longer allowed. Records that have it keep it."""

    name: str
    removed: bool = True


def _answer(row: Row[Any]) -> Tag:
    return Tag.model_validate(tag_facts(row))


@api.endpoint("GET", "/tags", query=Listed, answer=Tags)
def list_tags(call: Call[Listed, NoBody]) -> Tags:
    """List the allowed tags."""
    found = call.sql(call.directory.tag_keys)
    return cut(Tags, call.query, found, lambda row: str(row.name), _answer)


@api.endpoint("POST", "/tags", body=NewTag, answer=Tag, roles=ADMINS, status=201)
def allow_tag(call: Call[NoQuery, NewTag]) -> Tag:
    """Allow a tag: requests from now on are recorded with it."""
    name = call.body.name

    def make(directory: Directory) -> Tag:
        directory.add_tag_key(name)
        (row,) = [row for row in directory.tag_keys() if row.name == name]
        return _answer(row)

    return call.change(make)


@api.endpoint("DELETE", "/tags/<name>", answer=TagRemoved, roles=ADMINS)
def forbid_tag(call: Call[NoQuery, NoBody], name: str) -> TagRemoved:
    """Allow a tag no more.

    Not while it narrows a budget. A tag never changes, so `If-Match: *` is all there is to send.
    """
    if not is_name(name):
        raise NotFound("There is no such tag.")
    call.change(lambda directory: directory.remove_tag_key(name))
    return TagRemoved(name=name)
