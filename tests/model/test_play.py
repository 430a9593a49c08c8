"""A short play, and scripts with planted faults, which it must find."""

from __future__ import annotations

import hashlib

import pytest

from gateway.adapters.redis_script import Script
from tests.model import interruptions
from tests.model.model import Violation
from tests.model.play import DEPLOYMENT_STEPS, Play

SEED = 20_261_125


def test_the_scripts_do_as_the_model_says(redis_url: str) -> None:
    play = Play(redis_url, SEED)
    play.play(6_000)
    assert set(play.played) == {move.__name__ for move, _ in play.moves}


def test_the_same_seed_plays_the_same(redis_url: str) -> None:
    def played() -> list[str]:
        play = Play(redis_url, SEED)
        play.play(300)
        return list(play.played.elements())

    assert played() == played()


def test_a_deployment_can_be_played_again_without_those_before_it(redis_url: str) -> None:
    whole = Play(redis_url, SEED)
    whole.play(DEPLOYMENT_STEPS + 40)
    alone = Play(redis_url, SEED, first=1)
    alone.play(40)
    moves = [[said.split()[:2] for said in play.said] for play in (whole, alone)]
    assert moves[0] == moves[1]


def test_what_went_wrong_is_shown_in_few_steps(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play(redis_url, SEED)
    for gateway in play.at.gateways:
        _plant(monkeypatch, gateway._hand_over, "if hold.handed then return {'already'} end", "")
    with pytest.raises(Violation):
        play.play(12_000)
    before = len(play.said)
    assert play.shrink(20) is not None
    assert len(play.said) <= 20 < before
    assert "hand_over" in play.said[-1]


FAULTS = [
    ("_settle", "cost, not lost)", "cost, false)"),
    ("_settle", "'correction', 'settled', difference", "'correction', 'settled', cost"),
    ("_settle", "if hold and hold.state == 'closed' then return {'already'} end", ""),
    ("_settle", "leave(hold, KEYS[3], KEYS[4], ARGV[1])", ""),
    ("_settle", "if hold.handed then return {'settled', left, hold.amount} end", ""),
    ("_settle", "ARGV[10] == '' and ARGV[11] ~= state.epoch", "false"),
    ("_settle", "if ARGV[10] == '' and forgotten then return {'late'} end", ""),
    ("_settle", "if state.frozen then return {'frozen'} end", ""),
    ("_settle", "mean = mean + miss / 8", "mean = mean + miss / 4"),
    ("_release", "charge(budgets, 6, -hold.charged, false)", "charge(budgets, 6, 0, false)"),
    ("_release", "close_id(KEYS[2], false, true)", ""),
    ("_expire", "if lease_end > at then return {'alive', lease_end - at} end", ""),
    ("_expire", "if state.suspended then return {'suspended'} end", ""),
    ("_expire", "'charged', integer(hold.amount)", "'charged', '0'"),
    ("_reserve", "budget.limit - budget.spent - budget.held", "budget.limit - budget.spent"),
    ("_reserve", "redis.call('HINCRBY', KEYS[5], 'inflight', 1)", ""),
    ("_reserve", "tonumber(state[2]) < tonumber(ARGV[15])", "false"),
    ("_reserve", "if version ~= ARGV[1] then return {'stale', version or ''} end", ""),
    ("_reserve", "return string.format('%.0f', number)", "return string.format('%.14g', number)"),
    ("_hand_over", "if hold.handed then return {'already'} end", ""),
    ("_part", "tonumber(held) - amount", "tonumber(held)"),
    ("_part", "if ARGV[7] ~= '' and ARGV[7] ~= state.epoch then return {'late'} end", ""),
    ("_place_again", "if redis.call('EXISTS', KEYS[2]) == 1 then return {'already'} end", ""),
    ("claim", "if f[1] ~= ARGV[1] then return {'other'} end", ""),
    ("claim", "if hold[1] then return {'lost'} end", ""),
    ("keep", "if redis.call('HGET', KEYS[1], 'request') ~= ARGV[1] then return 0 end", ""),
    ("note", "if old.client_id == new.client_id then", "if true then"),
    ("take", "redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1]", "true"),
    ("meet", "redis.call('HDEL', KEYS[1], 'admits')", ""),
]


@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS)
def test_a_fault_in_a_script_is_found(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, name: str, right: str, wrong: str
) -> None:
    play = Play(redis_url, SEED)
    elsewhere = {
        "claim": play.beside.answers._claim,
        "keep": play.beside.answers._keep,
        "note": play.beside.objects._note,
        "take": play.beside.objects._take,
        "meet": interruptions.MEET,
    }
    scripts = (
        [elsewhere[name]]
        if name in elsewhere
        else [getattr(gateway, name) for gateway in play.at.gateways]
    )
    for script in scripts:
        _plant(monkeypatch, script, right, wrong)
    with pytest.raises(Violation):
        play.play(12_000)


def _plant(patch: pytest.MonkeyPatch, script: Script, right: str, wrong: str) -> None:
    assert right in script.source
    source = script.source.replace(right, wrong)
    patch.setattr(script, "source", source)
    patch.setattr(script, "sha", hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
