from __future__ import annotations

from sqlalchemy import Engine

from gateway.adapters.epochs import Recorded, move_sequence, next_epoch, note_epoch, recorded_state


def test_a_database_that_knows_nothing_says_so(engine: Engine) -> None:
    assert recorded_state(engine) == Recorded(0, 0)


def test_a_sequence_never_goes_back(engine: Engine) -> None:
    for sequence in (5, 3, 0, 7, 6):
        with engine.begin() as connection:
            move_sequence(connection, sequence)
    assert recorded_state(engine).sequence == 7


def test_an_epoch_is_later_than_all_before(engine: Engine) -> None:
    note_epoch(engine, 100)
    note_epoch(engine, 90)
    assert recorded_state(engine).epoch == 100
    assert [next_epoch(engine, at_least=at) for at in (50, 50, 200, 200)] == [101, 102, 200, 201]
    assert recorded_state(engine).epoch == 201
