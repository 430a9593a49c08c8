from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.core.bill_lines import BillLine
from gateway.core.reconciling import Cause, Difference, Figures, HourlyUse, Part, Recorded
from gateway.core.reconciling_quantities import compare

DAY = datetime(2026, 5, 1, tzinfo=UTC)
LATER = DAY + timedelta(days=1)


def use(hour: int, requests: int, day: datetime = DAY, **counts: int) -> HourlyUse:
    return HourlyUse(day + timedelta(hours=hour), "m", requests, counts)


def lines(
    ours: dict[str, int], theirs: dict[str, int], day: datetime = DAY, unit: int = 10
) -> tuple[list[Recorded], list[BillLine]]:
    """Quantities by line item, at one price."""
    return (
        [Recorded(day, "m", item, count, count * unit) for item, count in ours.items()],
        [BillLine(day, "m", item, count, count * unit) for item, count in theirs.items()],
    )


def only(differences: list[Difference]) -> Part:
    ((part,),) = [difference.parts for difference in differences]
    return part


def test_an_hour_that_the_bill_does_not_have() -> None:
    recorded, billed = lines({"input": 300}, {"input": 100})
    part = only(
        compare(
            Figures(
                recorded,
                billed,
                {},
                [use(5, 1, input=100), use(6, 2, input=200)],
                [use(5, 1, input=100)],
            )
        )
    )
    assert part.cause is Cause.MISSING
    assert part.nano == -2_000
    assert part.explanation == (
        "Recorded and not billed: the hour 2026-05-01 06:00 UTC (200 in 2 requests)."
    )


def test_hours_that_are_not_recorded() -> None:
    recorded, billed = lines({"input": 10}, {"input": 510})
    their_hours = [use(hour, 1, input=100) for hour in range(5)] + [use(9, 1, input=10)]
    part = only(compare(Figures(recorded, billed, {}, [use(0, 1, input=10)], their_hours)))
    assert part.nano == 5_000
    assert part.explanation == (
        "Billed and not recorded: 90 of 100 in the hour 2026-05-01 00:00 UTC; the hour"
        " 2026-05-01 01:00 UTC (100 in 1 request); the hour 2026-05-01 02:00 UTC (100 in 1"
        " request); 3 more hours."
    )


def test_usage_that_agrees_and_costs_that_do_not_are_unexplained() -> None:
    recorded, billed = lines({"input": 100}, {"input": 150})
    hours = [use(5, 1, input=100)]
    assert only(compare(Figures(recorded, billed, {}, hours, hours))).cause is Cause.UNEXPLAINED


def test_what_is_in_no_report_of_usage_is_missing_in_no_known_hour() -> None:
    recorded, billed = lines({"web_search_calls": 1}, {"web_search_calls": 3})
    part = only(compare(Figures(recorded, billed, {}, [use(5, 1, input=9)], ())))
    assert (part.cause, part.explanation) == (Cause.MISSING, "Billed and not recorded: 2.")


def test_tokens_that_one_side_counts_as_cached() -> None:
    recorded, billed = lines(
        {"input": 1_000, "cached_input": 200}, {"input": 983, "cached_input": 217}
    )
    found = compare(Figures(recorded, billed, {}))
    assert [(part.cause, part.nano) for d in found for part in d.parts] == [
        (Cause.CACHED_TOKENS, 170),
        (Cause.CACHED_TOKENS, -170),
    ]
    assert found[0].parts[0].explanation == (
        "The bill has 17 tokens more as cached, 8.5 % of what is recorded, and as many fewer as"
        " input."
    )


def test_an_upper_bound_is_replaced_by_what_was_billed() -> None:
    held = Recorded(DAY, "m", "hold", estimated_nano=5_000)
    recorded, billed = lines({"input": 100}, {"input": 180, "output": 40})
    found = compare(Figures([*recorded, held], billed, {}))
    assert [(d.line_item, part.cause, part.nano) for d in found for part in d.parts] == [
        ("hold", Cause.ESTIMATE, -5_000),
        ("input", Cause.ESTIMATE, 800),
        ("output", Cause.ESTIMATE, 400),
    ]
    assert found[0].parts[0].explanation == (
        "Recorded at an upper bound of $0.000005 in all, of which $0.0000012 can have been billed."
    )
    # A bound explains no more than itself.
    recorded, billed = lines({"input": 100}, {"input": 1_100})
    found = compare(Figures([*recorded, held], billed, {}))
    assert [(part.cause, part.nano) for d in found for part in d.parts] == [
        (Cause.ESTIMATE, -5_000),
        (Cause.ESTIMATE, 5_000),
        (Cause.MISSING, 5_000),
    ]


def test_a_request_around_midnight_is_on_two_days() -> None:
    recorded, billed = lines({"input": 300}, {"input": 200})
    more = lines({"input": 50}, {"input": 150}, LATER)
    found = compare(Figures(recorded + more[0], billed + more[1], {}))
    assert [(d.day, part.cause, part.nano) for d in found for part in d.parts] == [
        (DAY, Cause.TIMING, -1_000),
        (LATER, Cause.TIMING, 1_000),
    ]
    assert found[0].parts[0].explanation == (
        "100 are recorded on 2026-05-01 and billed on 2026-05-02."
    )


def test_midnight_is_seen_beside_a_missing_hour() -> None:
    recorded, billed = lines({"input": 300}, {"input": 150})
    more = lines({"input": 50}, {"input": 150}, LATER)
    our_hours = [use(5, 1, input=50), use(23, 3, input=250), use(0, 1, LATER, input=50)]
    their_hours = [use(23, 2, input=150), use(0, 2, LATER, input=150)]
    found = compare(Figures(recorded + more[0], billed + more[1], {}, our_hours, their_hours))
    assert [(d.day, part.cause, part.nano) for d in found for part in d.parts] == [
        (DAY, Cause.TIMING, -1_000),
        (DAY, Cause.MISSING, -500),
        (LATER, Cause.TIMING, 1_000),
    ]
