"""GET /v1/organization/usage/*: what was used, in OpenAI's form, from our own records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint

from gateway.adapters.usage_buckets import Bucketed, usage_buckets
from gateway.core import usage_families
from gateway.core.organization_ids import KEY, PROJECT, USER, shown
from gateway.core.time_buckets import USAGE_WIDTHS
from gateway.core.usage_families import API_SOURCE, SOURCES, Family
from gateway.core.usage_results import usage_fields
from gateway.web.current import services
from gateway.web.openai.organization_pages import Answer, from_reports, page
from gateway.web.openai.organization_query import query_of, reader

blueprint = Blueprint("organization_usage", __name__)

_PREFIXES: Mapping[str, str] = {"project_id": PROJECT, "user_id": USER, "api_key_id": KEY}


@blueprint.get("/v1/organization/usage/completions")
def completions() -> Answer:
    """Text generated: chat and legacy completions, responses, and batches of them."""
    return _answer(usage_families.COMPLETIONS)


@blueprint.get("/v1/organization/usage/embeddings")
def embeddings() -> Answer:
    """Embeddings, also by batch."""
    return _answer(usage_families.EMBEDDINGS)


@blueprint.get("/v1/organization/usage/moderations")
def moderations() -> Answer:
    """Moderations, which are free."""
    return _answer(usage_families.MODERATIONS)


@blueprint.get("/v1/organization/usage/images")
def images() -> Answer:
    """Images made, edited and varied."""
    return _answer(usage_families.IMAGES)


@blueprint.get("/v1/organization/usage/audio_speeches")
def audio_speeches() -> Answer:
    """Characters spoken."""
    return _answer(usage_families.AUDIO_SPEECHES)


@blueprint.get("/v1/organization/usage/audio_transcriptions")
def audio_transcriptions() -> Answer:
    """Seconds transcribed and translated."""
    return _answer(usage_families.AUDIO_TRANSCRIPTIONS)


@blueprint.get("/v1/organization/usage/vector_stores")
def vector_stores() -> Answer:
    """Bytes stored: none, since no vector stores are served."""
    return _answer(usage_families.VECTOR_STORES)


@blueprint.get("/v1/organization/usage/code_interpreter_sessions")
def code_interpreter_sessions() -> Answer:
    """Sessions of the code interpreter that were billed."""
    return _answer(usage_families.CODE_INTERPRETER_SESSIONS)


@blueprint.get("/v1/organization/usage/file_search_calls")
def file_search_calls() -> Answer:
    """File searches that were billed."""
    return _answer(usage_families.FILE_SEARCH_CALLS)


def _answer(family: Family) -> Answer:
    query = query_of(reader(), USAGE_WIDTHS, family.filters, family.group_by)
    by = [name for name in query.by if name != "api_source"]
    found = from_reports(usage_buckets, services().engine, family, query.page, query.only, by)
    return page(query.page, ((one.start, _result(family, query.by, by, one)) for one in found))


def _result(
    family: Family, asked: tuple[str, ...], by: list[str], found: Bucketed
) -> dict[str, Any]:
    groups: dict[str, Any] = dict.fromkeys(family.group_by)
    groups.update((name, _named(name, key)) for name, key in zip(by, found.group, strict=True))
    if "api_source" in asked:
        groups["api_source"] = API_SOURCE
    return {
        "object": f"organization.usage.{family.result}.result",
        **usage_fields(family, found.sums),
        **groups,
    }


def _named(name: str, key: Any) -> Any:
    """A group as OpenAI shows it."""
    if name in _PREFIXES:
        return shown(_PREFIXES[name], key)
    if name == "batch":
        return bool(key)
    return SOURCES.get(key, key) if name == "source" else key
