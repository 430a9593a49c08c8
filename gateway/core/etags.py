"""Entity tags: what a resource is at a moment, as one short word.

A caller that changes a resource names the tag of what it has seen, and the change is refused where
the resource is another by then (RFC 9110, section 13.1.1). The tag is a hash of the facts
themselves, so a change and its reverse give the first tag again, and nothing has to be counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*(?:,|$)')
"""One tag of a list, and what ends it. Source: RFC 9110, section 8.8.3."""

ANY = frozenset(("*",))
"""Matches whatever there is."""


def etag_of(facts: Mapping[str, Any]) -> str:
    """The tag of ``facts``, without quotes: equal for equal facts, whatever their order."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def matches(facts: Mapping[str, Any], wanted: Collection[str] | None) -> bool:
    """Whether ``facts`` are what a caller has seen; ``wanted`` None for one that asks nothing."""
    return wanted is None or "*" in wanted or etag_of(facts) in wanted


def parse_if_match(header: str) -> frozenset[str]:
    """The tags of an ``If-Match`` header. Weak ones match nothing, so they are left out.

    Raises ValueError for what is no such header.
    """
    if header.strip() == "*":
        return ANY
    found, place = set(), 0
    while place < len(header):
        tag = _TAG.match(header, place)
        if tag is None:
            raise ValueError('not a list of quoted tags such as "0123abcd"')
        if not tag[1] and tag[2] != "*":
            found.add(tag[2])
        place = tag.end()
    if not header.strip():
        raise ValueError("empty")
    return frozenset(found)
