"""Tags: names and values that requests carry into their records, reports and budgets.

A client sends them in the header ``x-faregate-tags: project=alpha, env=prod``, in OpenAI's
``metadata`` or, as tag ``user``, in OpenAI's ``user``; the first of these that has a name wins.
Only names that the deployment allows are kept, since every value is a row of the rollups. The
names of ``RESERVED`` are the gateway's own: it sets them itself, and no client can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType

from gateway.core.errors import BadRequest

HEADER = "x-faregate-tags"
TAGS_MAX = 16
"""Tags of one header, and of one request. OpenAI's limit for ``metadata`` is the same."""
NAME_MAX = 64
VALUE_MAX = 128
METADATA = "metadata"
USER = "user"
IMAGE_SIZE = "image_size"
"""The size of the pictures that a request asks for."""
RESERVED = frozenset((IMAGE_SIZE,))

NO_TAGS: Mapping[str, str] = MappingProxyType({})

_NAME = re.compile(rf"[a-z0-9_.-]{{1,{NAME_MAX}}}")
_FORM = (
    f"Write {HEADER}: name=value, name=value; names are 1 to {NAME_MAX} of a-z, 0-9, _ . and -,"
    f" values 1 to {VALUE_MAX} printable characters without a comma"
)


def is_name(text: str) -> bool:
    """Whether ``text`` can name a tag."""
    return _NAME.fullmatch(text) is not None


def is_value(text: str) -> bool:
    """Whether ``text`` can be the value of a tag."""
    return 0 < len(text) <= VALUE_MAX and text.isprintable()


def pair_of(tag: str) -> tuple[str, str]:
    """Name and value of ``name=value``, as a budget has it. Raises ValueError."""
    name, _, value = tag.partition("=")
    if not (is_name(name) and is_value(value)):
        raise ValueError(
            f"{tag!r} is no tag: write name=value, with a name of 1 to {NAME_MAX} of a-z, 0-9,"
            f" _ . and -, and a value of 1 to {VALUE_MAX} printable characters"
        )
    return name, value


def parse_header(header: str) -> dict[str, str]:
    """The tags of a header, which WSGI gives as Latin-1. Raises BadRequest where it has no tags.

    Spaces around names and values do not count, and empty elements are passed over.
    Source: RFC 9110, section 5.6.1 (lists); the values are taken for UTF-8.
    """
    text = header
    if not text.isascii():
        try:
            text = text.encode("latin-1").decode()
        except UnicodeError:
            raise _malformed("it is not UTF-8") from None
    found: dict[str, str] = {}
    for element in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (part.strip() for part in element.partition("="))
        if not equals:
            raise _malformed(f"{_shown(element)} has no equals sign")
        if not is_name(name):
            raise _malformed(f"{_shown(name)} is no name")
        if not is_value(value):
            raise _malformed(f"the value of {name!r} is empty, too long or not printable")
        if name in found:
            raise _malformed(f"{name!r} comes twice")
        found[name] = value
        if len(found) > TAGS_MAX:
            raise _malformed(f"it has more than {TAGS_MAX} tags")
    return found


def _shown(text: str) -> str:
    return repr(text[:NAME_MAX])


def _malformed(why: str) -> BadRequest:
    return BadRequest(f"The header {HEADER} cannot be read: {why}. {_FORM}.", param=HEADER)


def tags_of(
    allowed: Set[str], header: str | None, fields: Mapping[str, object], own: Mapping[str, str]
) -> Mapping[str, str]:
    """The tags of a request: what it sends, as far as it is ``allowed``, and the gateway's ``own``.

    ``fields`` are those of the body. What is not allowed, or in ``metadata`` or ``user`` does not
    fit a tag, is dropped: it may mean something to the provider. Raises BadRequest for a header
    that is malformed, also where none of its names is allowed.
    """
    if header is None and METADATA not in fields and USER not in fields:
        return own
    sent = parse_header(header) if header else {}
    if not allowed:
        return own
    found = {name: value for name, value in sent.items() if name in allowed}
    for name, value in _of_fields(fields):
        if len(found) == TAGS_MAX:
            break
        if name in allowed and name not in found:
            found[name] = value
    return {**found, **own}


def _of_fields(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    metadata = fields.get(METADATA)
    if isinstance(metadata, Mapping):
        for name, value in metadata.items():
            if isinstance(value, str) and is_value(value):
                yield name, value
    user = fields.get(USER)
    if isinstance(user, str) and is_value(user):
        yield USER, user
