from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.core.tags import (
    HEADER,
    NO_TAGS,
    TAGS_MAX,
    is_name,
    is_value,
    pair_of,
    parse_header,
    tags_of,
)

ALLOWED = frozenset(("project", "env", "user"))


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("project=alpha, env=prod", {"project": "alpha", "env": "prod"}),
        ("project=alpha,env=prod", {"project": "alpha", "env": "prod"}),
        ("  project = alpha beta ,, ", {"project": "alpha beta"}),
        ("a.b-c_9=x=y;z", {"a.b-c_9": "x=y;z"}),
        ("", {}),
        (" , ", {}),
        ("n" * 64 + "=" + "v" * 128, {"n" * 64: "v" * 128}),
        ("project=größe".encode().decode("latin-1"), {"project": "größe"}),
        ("project=알파".encode().decode("latin-1"), {"project": "알파"}),
    ],
)
def test_a_header_is_read(header: str, tags: dict[str, str]) -> None:
    assert parse_header(header) == tags


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("project", "'project' has no equals sign"),
        ("project=alpha, env", "'env' has no equals sign"),
        ("Project=alpha", "'Project' is no name"),
        ("=alpha", "'' is no name"),
        ("pro ject=alpha", "'pro ject' is no name"),
        ("n" * 65 + "=v", "is no name"),
        ("project=", "the value of 'project' is empty"),
        ("project=" + "v" * 129, "the value of 'project' is empty, too long or not printable"),
        ("project=a\tb", "not printable"),
        ("project=alpha, project=alpha", "'project' comes twice"),
        ("project=\xff", "it is not UTF-8"),
        (",".join(f"t{i}=v" for i in range(TAGS_MAX + 1)), "more than 16 tags"),
    ],
)
def test_a_malformed_header_is_refused_with_the_reason(header: str, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_header(header)
    assert refused.value.param == HEADER
    assert why in refused.value.message
    assert "Write x-faregate-tags: name=value, name=value" in refused.value.message


def test_as_many_tags_as_there_may_be() -> None:
    header = ",".join(f"t{i}=v" for i in range(TAGS_MAX))
    assert len(parse_header(header)) == TAGS_MAX


@given(st.text(max_size=60))
def test_any_header_is_read_or_refused(header: str) -> None:
    try:
        found = parse_header(header)
    except BadRequest:
        return
    assert all(is_name(name) and is_value(value) for name, value in found.items())


def test_the_header_wins_over_metadata_and_metadata_over_user() -> None:
    metadata = {"project": "of metadata", "env": "of metadata", "user": "of metadata"}
    fields: dict[str, Any] = {"metadata": metadata, "user": "of user"}
    assert tags_of(ALLOWED, "project=of header", fields, NO_TAGS) == {
        "project": "of header",
        "env": "of metadata",
        "user": "of metadata",
    }
    assert tags_of(ALLOWED, None, {"user": "of user"}, NO_TAGS) == {"user": "of user"}
    assert tags_of(ALLOWED, "user=of header", fields, NO_TAGS)["user"] == "of header"


def test_what_is_not_allowed_is_dropped() -> None:
    fields = {"metadata": {"secret": "x", "env": "prod"}, "user": "ann"}
    assert tags_of({"env"}, "project=alpha", fields, NO_TAGS) == {"env": "prod"}
    assert tags_of(frozenset(), "project=alpha", fields, NO_TAGS) == {}


@pytest.mark.parametrize("allowed", [frozenset(), ALLOWED])
def test_a_malformed_header_is_refused_whatever_is_allowed(allowed: frozenset[str]) -> None:
    with pytest.raises(BadRequest):
        tags_of(allowed, "oops", {}, NO_TAGS)


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": None, "user": None},
        {"metadata": "project=alpha", "user": 7},
        {"metadata": ["project"], "user": ["ann"]},
        {"metadata": {"project": 7, "env": ""}, "user": ""},
        {"metadata": {"project": "a\nb", "env": "v" * 129}, "user": "u" * 129},
        {"metadata": {"project": "\ud800"}, "user": "\x00"},
    ],
)
def test_fields_that_fit_no_tag_are_left_to_the_provider(fields: dict[str, Any]) -> None:
    assert tags_of(ALLOWED, None, fields, NO_TAGS) == {}


def test_the_gateways_own_tags_are_always_there_and_nobody_elses() -> None:
    own = {"image_size": "1024x1024"}
    fields = {"metadata": {"image_size": "of metadata", "env": "prod"}}
    assert tags_of(frozenset(), "image_size=mine", fields, own) == own
    found = tags_of({"env"}, "image_size=mine", fields, own)
    assert found == {"env": "prod", "image_size": "1024x1024"}
    assert tags_of({"env"}, "image_size=mine", fields, NO_TAGS) == {"env": "prod"}


def test_all_sources_together_give_no_more_than_sixteen() -> None:
    names = [f"t{i:02}" for i in range(40)]
    header = ",".join(f"{name}=h" for name in names[:10])
    metadata = dict.fromkeys(names[5:], "m")
    found = tags_of(frozenset(names), header, {"metadata": metadata, "user": "u"}, NO_TAGS)
    assert list(found) == names[:TAGS_MAX]
    assert [found[name] for name in names[:TAGS_MAX]] == ["h"] * 10 + ["m"] * 6


def test_the_tag_of_a_budget() -> None:
    assert pair_of("project=alpha, beta=x") == ("project", "alpha, beta=x")
    for wrong in ("project", "project=", "=alpha", "Project=alpha", "project=a\n"):
        with pytest.raises(ValueError, match="is no tag: write name=value"):
            pair_of(wrong)
