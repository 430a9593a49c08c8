from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.price_codec import tiers_digest, tiers_from_json, tiers_to_json
from gateway.core.prices import Meter, Rate

TIERS = {
    "flex": {Meter.OUTPUT: Rate(7), Meter.INPUT: Rate(62_500_000, 1_000_000, ((272_000, 9),))},
    "default": {Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, 1000)},
}
TEXT = (
    '{"default":{"web_search_calls":{"nano":10000000000,"per":1000,"steps":[]}},'
    '"flex":{"input":{"nano":62500000,"per":1000000,"steps":[[272000,9]]},'
    '"output":{"nano":7,"per":1000000,"steps":[]}}}'
)


def test_the_text_is_canonical() -> None:
    assert tiers_to_json(TIERS) == TEXT
    assert tiers_from_json(TEXT) == TIERS


def test_key_order_and_spaces_do_not_matter() -> None:
    text = json.dumps(json.loads(TEXT), indent=2)
    shuffled = {tier: dict(reversed(rates.items())) for tier, rates in reversed(TIERS.items())}
    assert tiers_from_json(text) == TIERS
    assert tiers_digest(shuffled) == tiers_digest(TIERS)


def test_the_digest_tells_every_change() -> None:
    changed = [
        {**TIERS, "flex": TIERS["default"]},
        {"default": TIERS["default"]},
        {"default": {Meter.WEB_SEARCH_CALLS: Rate(10_000_000_001, 1000)}},
        {"default": {Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, 100)}},
        {"default": {Meter.FILE_SEARCH_CALLS: Rate(10_000_000_000, 1000)}},
    ]
    assert len({tiers_digest(TIERS), *map(tiers_digest, changed)}) == 6


steps = st.dictionaries(st.integers(0, 10**7), st.integers(0, 10**18), max_size=3)
rates = st.builds(
    lambda nano, per, found: Rate(nano, per, tuple(sorted(found.items()))),
    st.integers(0, 10**18),
    st.integers(1, 10**9),
    steps,
)
tables = st.dictionaries(st.sampled_from(list(Meter)), rates, min_size=1)


@given(st.dictionaries(st.text(), tables, min_size=1))
def test_rates_round_trip(tiers: dict[str, dict[Meter, Rate]]) -> None:
    assert tiers_from_json(tiers_to_json(tiers)) == tiers


RATE = '{"nano":1,"per":1,"steps":[]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"default":{}}',
        '{"default":[]}',
        '{"default":{"input":1}}',
        '{"default":{"unknown":RATE}}',
        '{"default":{"input":RATE},"default":{"input":RATE}}',
        '{"default":{"input":{"nano":1,"per":1}}}',
        '{"default":{"input":{"nano":1,"per":1,"steps":[],"extra":1}}}',
        '{"default":{"input":{"nano":1.0,"per":1,"steps":[]}}}',
        '{"default":{"input":{"nano":1e3,"per":1,"steps":[]}}}',
        '{"default":{"input":{"nano":NaN,"per":1,"steps":[]}}}',
        '{"default":{"input":{"nano":"1","per":1,"steps":[]}}}',
        '{"default":{"input":{"nano":true,"per":1,"steps":[]}}}',
        '{"default":{"input":{"nano":-1,"per":1,"steps":[]}}}',
        '{"default":{"input":{"nano":1,"per":0,"steps":[]}}}',
        '{"default":{"input":{"nano":1,"per":1,"steps":{}}}}',
        '{"default":{"input":{"nano":1,"per":1,"steps":[[1]]}}}',
        '{"default":{"input":{"nano":1,"per":1,"steps":[[1,2.5]]}}}',
        '{"default":{"input":{"nano":1,"per":1,"steps":[[2,1],[1,1]]}}}',
        "[" * 100_000,
    ],
)
def test_malformed_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is json's or ours
        tiers_from_json(text.replace("RATE", RATE))


def test_the_refusals_above_are_not_for_the_rate_they_share() -> None:
    text = '{"default":{"input":RATE}}'.replace("RATE", RATE)
    assert tiers_from_json(text) == {"default": {Meter.INPUT: Rate(1, 1)}}


def test_nothing_is_written_without_a_rate() -> None:
    with pytest.raises(ValueError, match="at least one rate"):
        tiers_to_json({"default": {}})
