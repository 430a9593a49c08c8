"""A short play, and scripts with planted faults, which it must find."""

from __future__ import annotations

import hashlib

import pytest

from gateway.adapters.redis_script import Script
from tests.model.model import Violation
from tests.model.play import Play

SEED = 20_261_125


def test_the_scripts_do_as_the_model_says(redis_url: str) -> None:
    play = Play(redis_url, SEED)
    play.play(6_000)
    assert set(play.played) == {move.__name__ for move, _ in play._moves}


def test_the_same_seed_plays_the_same(redis_url: str) -> None:
    def played() -> dict[str, int]:
        play = Play(redis_url, SEED)
        play.play(300)
        return dict(play.played)

    assert played() == played()


FAULTS = [
    ("_settle", "cost, not lost)", "cost, false)"),
    ("_settle", "'correction', 'settled', difference", "'correction', 'settled', cost"),
    ("_settle", "if hold and hold.state == 'closed' then return {'already'} end", ""),
    ("_settle", "leave(hold, KEYS[3], KEYS[4], ARGV[1])", ""),
    ("_release", "charge(budgets, 6, -hold.charged, false)", "charge(budgets, 6, 0, false)"),
    ("_expire", "if lease_end > at then return {'alive', lease_end - at} end", ""),
    ("_expire", "if state.suspended then return {'suspended'} end", ""),
    ("_reserve", "budget.limit - budget.spent - budget.held", "budget.limit - budget.spent"),
    ("_reserve", "redis.call('HINCRBY', KEYS[5], 'inflight', 1)", ""),
    ("_hand_over", "if hold.handed then return {'already'} end", ""),
    ("_part", "tonumber(held) - amount", "tonumber(held)"),
    ("_place_again", "if redis.call('EXISTS', KEYS[2]) == 1 then return {'already'} end", ""),
]


@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS)
def test_a_fault_in_a_script_is_found(redis_url: str, name: str, right: str, wrong: str) -> None:
    play = Play(redis_url, SEED)
    script: Script = getattr(play.world.budgets, name)
    assert right in script.source
    script.source = script.source.replace(right, wrong)
    script.sha = hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()
    with pytest.raises(Violation):
        play.play(4_000)
