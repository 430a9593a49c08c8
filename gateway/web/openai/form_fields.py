"""The fields of a form that the gateway reads, as the provider must read them too."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from gateway.adapters.forms import Form
from gateway.core.errors import BadRequest

_INTEGER = re.compile(r"[0-9]{1,15}")
_FLAGS = {"true": True, "false": False}


def fields_of(
    form: Form,
    *,
    texts: Collection[str] = (),
    integers: Collection[str] = (),
    flags: Collection[str] = (),
    files: Collection[str],
) -> dict[str, Any]:
    """The named fields, each of which may come once, with their values.

    What could be read in more than one way is refused, so that the provider cannot read a
    dearer request than was checked: a field that comes twice or as ``name[]``, a file in the
    place of a field, a field in the place of one of ``files``, or digits of other scripts.
    Raises BadRequest.
    """
    once = (*texts, *integers, *flags)
    for name, _ in form.fields:
        base = name.partition("[")[0]
        if base in files:
            raise BadRequest(f"{base} must be sent as a file.", param=base)
        if base in once and base != name:
            raise BadRequest(f"Send {base} as one field, named so.", param=base)
    for file in form.files:
        if file.name.removesuffix("[]") not in files:
            raise BadRequest(f"{file.name[:80]!r} is not a file of this endpoint.")
    found: dict[str, Any] = {}
    for name in once:
        value = form.field(name)
        if value is not None:
            found[name] = value
    for name in found.keys() & set(integers):
        if not _INTEGER.fullmatch(found[name]):
            raise BadRequest(f"{name} must be an integer.", param=name)
        found[name] = int(found[name])
    for name in found.keys() & set(flags):
        if found[name] not in _FLAGS:
            raise BadRequest(f"{name} must be true or false.", param=name)
        found[name] = _FLAGS[found[name]]
    return found
