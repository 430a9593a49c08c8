from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.etags import ANY, etag_of, matches, parse_if_match

FACTS = {"id": 1, "name": "search", "limit_usd": "5.00"}


def test_equal_facts_have_equal_tags_whatever_their_order() -> None:
    assert etag_of(FACTS) == etag_of(dict(reversed(FACTS.items())))
    assert etag_of(FACTS) != etag_of({**FACTS, "name": "ads"})
    assert etag_of({"a": None}) != etag_of({})
    assert etag_of({"a": "1"}) != etag_of({"a": 1})


def test_a_tag_needs_no_escaping_in_a_header() -> None:
    assert etag_of({"name": 'é"\n'}).isalnum()


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_a_tag_can_be_sent_and_matched(facts: dict[str, object]) -> None:
    tag = etag_of(facts)
    assert matches(facts, parse_if_match(f'"{tag}"'))
    assert matches(facts, parse_if_match(f' "other" , "{tag}"'))
    assert not matches(facts, parse_if_match('"other"'))


def test_who_asks_nothing_and_who_takes_any_match() -> None:
    assert matches(FACTS, None)
    assert matches(FACTS, parse_if_match(" * "))
    assert parse_if_match("*") == ANY
    assert not matches(FACTS, frozenset())


def test_weak_tags_match_nothing() -> None:
    assert parse_if_match(f'W/"{etag_of(FACTS)}", "a"') == {"a"}
    # A quoted star is a tag like others, and no wildcard.
    assert not matches(FACTS, parse_if_match('"*"'))


@pytest.mark.parametrize("header", ["", " ", "abc", '"a" "b"', '"a', 'a"', '"a b"', "*, *", "'a'"])
def test_what_is_no_such_header_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"quoted tags|empty"):
        parse_if_match(header)
