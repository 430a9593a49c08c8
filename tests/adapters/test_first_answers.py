from __future__ import annotations

import pytest

from gateway.adapters.first_answers import Claim, FirstAnswer, FirstAnswers
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from tests.adapters.redis_world import RESULT, UNKNOWN, World, budget

ANSWER = FirstAnswer(200, {"x-cost": "1"}, b'{"text":"\xc3\xa9 \\u0000"}\x00\xff')
STRICT = budget(1, 1_000)


@pytest.fixture
def answers(world: World) -> FirstAnswers:
    return FirstAnswers(world.budgets, 3600, 1000)


def test_a_retry_gets_the_first_answer(world: World, answers: FirstAnswers) -> None:
    hold = world.budgets.reserve(world.wish(STRICT))
    assert answers.claim(1, "key", "body", hold.request_id) == Claim("claimed")
    assert answers.claim(1, "key", "body", hold.request_id) == Claim("claimed")
    assert answers.claim(1, "key", "body", "frq_retry") == Claim("running")
    answers.keep(1, "key", hold.request_id, ANSWER)
    for _ in range(2):
        assert answers.claim(1, "key", "body", "frq_retry") == Claim("answered", ANSWER)
    assert answers.claim(1, "key", "another", "frq_other") == Claim("other")


def test_each_client_has_keys_of_its_own(answers: FirstAnswers) -> None:
    assert answers.claim(1, "key", "body", "frq_1").state == "claimed"
    assert answers.claim(2, "key", "body", "frq_2").state == "claimed"
    assert answers.claim(1, "Key", "body", "frq_3").state == "claimed"


def test_a_key_given_up_can_be_used_again(answers: FirstAnswers) -> None:
    answers.claim(1, "key", "body", "frq_1")
    answers.give_up(1, "key", "frq_1")
    assert answers.claim(1, "key", "another body", "frq_2").state == "claimed"
    # Only who has the key may end it.
    answers.give_up(1, "key", "frq_1")
    answers.keep(1, "key", "frq_1", ANSWER)
    assert answers.claim(1, "key", "another body", "frq_3").state == "running"


def test_what_ended_without_an_answer_is_not_run_again(world: World, answers: FirstAnswers) -> None:
    settled = world.budgets.reserve(world.wish(STRICT))
    answers.claim(1, "settled", "body", settled.request_id)
    world.budgets.settle(settled, 10, 1, 1, RESULT)
    assert answers.claim(1, "settled", "body", "frq_retry").state == "lost"
    expired = world.budgets.reserve(world.wish(STRICT))
    answers.claim(1, "expired", "body", expired.request_id)
    world.budgets.redis.zadd(world.budgets.keys.holds, {expired.request_id: 1})
    assert world.budgets.expire(expired, UNKNOWN)
    assert answers.claim(1, "expired", "body", "frq_retry").state == "lost"


def test_what_was_not_billed_blocks_no_key(world: World, answers: FirstAnswers) -> None:
    # Its process died, or lost sight of Redis, before it could give the key up.
    hold = world.budgets.reserve(world.wish(STRICT))
    answers.claim(1, "released", "body", hold.request_id)
    world.budgets.release(hold, RESULT)
    assert answers.claim(1, "released", "body", "frq_retry").state == "claimed"
    unsure = world.wish(STRICT)
    answers.claim(1, "unsure", "body", unsure.request_id)
    world.budgets.release_unsure(unsure)
    assert answers.claim(1, "unsure", "body", "frq_retry").state == "claimed"


def test_what_may_have_been_billed_and_forgotten_is_not_run_again(
    world: World, answers: FirstAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.first_answers._RESERVE_MS", -1)
    answers.claim(1, "key", "body", "frq_1")
    (name,) = world.budgets.redis.scan_iter(match=world.budgets.keys.first_answer(1, "*"))
    day_ms = 24 * 3600 * 1000
    for age_ms, state in ((3 * day_ms, "lost"), (day_ms, "claimed")):
        seconds, micros = world.budgets.redis.time()
        world.budgets.redis.hset(name, "at", seconds * 1000 + micros // 1000 - age_ms)
        assert answers.claim(1, "key", "body", "frq_retry").state == state


def test_what_never_placed_a_hold_is_run_after_a_while(
    answers: FirstAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.claim(1, "key", "body", "frq_dead")
    assert answers.claim(1, "key", "body", "frq_retry").state == "running"
    monkeypatch.setattr("gateway.adapters.first_answers._RESERVE_MS", -1)
    assert answers.claim(1, "key", "body", "frq_retry").state == "claimed"


def test_keys_are_kept_for_their_time(world: World, answers: FirstAnswers) -> None:
    answers.claim(1, "key", "body", "frq_1")
    answers.keep(1, "key", "frq_1", ANSWER)
    (name,) = world.budgets.redis.scan_iter(match=world.budgets.keys.first_answer(1, "*"))
    assert 0 < world.budgets.redis.pttl(name) <= 3_600_000
    assert b"key" not in name.rsplit(b":", 1)[1]


def test_without_redis_nothing_is_claimed(world: World) -> None:
    gone = RedisBudgets(connect("redis://127.0.0.1:1", 0.1), world.budgets.keys, 60)
    answers = FirstAnswers(gone, 3600, 1000)
    with pytest.raises(StoreDown):
        answers.claim(1, "key", "body", "frq_1")
    # The client has its answer; that it cannot be kept is no reason to fail.
    answers.keep(1, "key", "frq_1", ANSWER)
    answers.give_up(1, "key", "frq_1")
