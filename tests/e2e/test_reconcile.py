"""Real traffic, the provider's bill with planted errors, and what a reconciliation makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from gateway.adapters.audit_log import Filters, entries
from gateway.adapters.control_tables import adjustments
from gateway.adapters.price_gaps import full_prices
from gateway.adapters.price_rows import sync_prices
from gateway.adapters.provider_bill import BillUnavailable, ProviderBill
from gateway.adapters.reconciliation_rows import ReconciliationError, dismiss, listed
from gateway.adapters.rollup_tables import daily_costs, daily_usage
from gateway.adapters.tables import hourly_usage
from gateway.core.reconciling import Cause
from gateway.core.roles import Principal, Role
from gateway.settings import SettingsError, load_settings
from gateway.simulator.sound import wav
from gateway.simulator.truth import Charge
from gateway.workers.reconciler import Comparison, Reconciler, approve_reconciliation
from tests.databases import open_migrated
from tests.e2e.media import send_form
from tests.e2e.money import PUBLISHED, billed_nano
from tests.e2e.replayed import Traffic, hour, record_all, traffic_of, write_truth
from tests.e2e.rig import Rig
from tests.e2e.traffic import EMBEDDINGS, RESPONSES, prompted
from tests.simulator.conftest import Simulated, start_simulator

ANN = Principal("user:ann@acme.example", Role.FINANCE)
HOURS = [hour(day, number) for day in (1, 2, 3, 4) for number in (5, 6)]
OMITTED, LOST = hour(2, 6), hour(4, 5)
"""An hour that the bill does not have, and one that was never recorded."""

MINI, LARGE = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"


@pytest.fixture(scope="module")
def traffic(rig: Rig) -> Traffic:
    """Requests of each kind that is billed its own way; some prompts are cached."""
    caller = rig.tenant().caller
    long = "An old story, told again and again. " * 300
    speech = {"model": "tts-1", "input": "Aloud.", "voice": "alloy"}
    picture = {"model": "gpt-image-1", "prompt": "A bill", "quality": "low", "size": "1024x1024"}
    sound = ("file", "said.wav", "audio/wav", wav(2_300))
    search = prompted("News?", tools=[{"type": "web_search"}], max_output_tokens=50)
    replies = [
        *(
            caller.chat(f"{long}{number}", model=model, max_tokens=20)
            for model in ("gpt-4o-mini", "gpt-4o")
            for number in range(3)
        ),
        caller.post({"model": "text-embedding-3-small", "input": long}, EMBEDDINGS),
        caller.post(search, RESPONSES, tool_calls=2),
        caller.post(speech, "/v1/audio/speech"),
        caller.post(picture, "/v1/images/generations"),
        # Tokens newly cached, another tier, and sound by the second and by the token.
        *(caller.chat(f"{long}{number}", model="gpt-5.6-sol") for number in range(2)),
        caller.chat("Flexible?", model="o4-mini", service_tier="flex"),
        *(
            send_form(caller, "/v1/audio/transcriptions", {"model": model}, [sound])
            for model in ("whisper-1", "gpt-4o-transcribe")
        ),
    ]
    assert [reply.status for reply in replies] == [200] * len(replies)
    found = traffic_of(rig, [reply.request_id for reply in replies])
    assert [row["model"] for row in found.rows if row["certainty"] != "exact"] == []
    return found


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_migrated(database_url)
    sync_prices(opened, full_prices())
    yield opened
    opened.dispose()


@contextmanager
def billing(engine: Engine, log: Path, *faults: str) -> Iterator[Reconciler]:
    """A reconciler and the provider whose log this is."""
    serving: Iterator[Simulated] = start_simulator(log, *faults)
    simulated = next(serving)
    settings = load_settings(upstream_url=simulated.url, openai_admin_key="sk-admin-of-the-test")
    try:
        yield Reconciler(engine, ProviderBill(settings))
    finally:
        simulated.process.kill_group()


def parts(found: Comparison) -> Counter[str]:
    """Nano-dollars by cause."""
    sums: Counter[str] = Counter()
    for difference in found.differences:
        whole = sum(part.nano for part in difference.parts)
        assert whole == difference.theirs_nano - difference.ours_nano
        for part in difference.parts:
            sums[part.cause] += part.nano
    return sums


def explained(found: Comparison, cause: Cause, **where: Any) -> set[str]:
    return {
        part.explanation
        for difference in found.differences
        for part in difference.parts
        if part.cause is cause
        and all(getattr(difference, name) == value for name, value in where.items())
    }


def recorded_nano(engine: Engine) -> int:
    """What is recorded, by every sum that reports read."""
    with engine.connect() as connection:
        sums = {
            int(connection.execute(select(func.sum(table.c.cost_nano))).scalar_one())
            for table in (hourly_usage, daily_usage, daily_costs)
        }
    (found,) = sums
    return found


def cached_nano(charges: list[Charge], model: str) -> Decimal:
    per = Decimal(PUBLISHED[model].cached) / 1000
    return sum((c.cached_tokens * per for c in charges if c.model == model), Decimal(0))


def of_model(charges: list[Charge], model: str) -> list[Charge]:
    """Those of a model that are billed under its name; searches are not."""
    return [c for c in charges if c.model == model and not c.units]


def test_a_bill_that_agrees_has_no_difference(
    engine: Engine, traffic: Traffic, tmp_path: Path
) -> None:
    record_all(engine, traffic.events(HOURS))
    charges = write_truth(tmp_path / "truth", traffic.charged(HOURS))
    for rounding in ("exact", "noise"):
        with billing(engine, tmp_path / "truth", "--bill-rounding", rounding) as reconciler:
            found = reconciler.compare(hour(1, 0), hour(5, 0), ANN)
        assert found.differences == ()
        assert found.ours_nano == found.theirs_nano == billed_nano(charges)
    with billing(engine, tmp_path / "truth", "--bill-rounding", "cents") as reconciler:
        found = reconciler.compare(hour(1, 0), hour(5, 0), ANN)
    assert parts(found).keys() == {Cause.ROUNDING}


def test_every_planted_error_is_named_with_its_amount(
    engine: Engine, traffic: Traffic, tmp_path: Path
) -> None:
    record_all(engine, traffic.events(at for at in HOURS if at != LOST))
    write_truth(tmp_path / "truth", traffic.charged(HOURS))
    errors = ("--bill-cached-percent", "8.5", "--bill-omit-hour", f"{OMITTED:%Y-%m-%dT%H}")
    change = ("--bill-price-change", f"{hour(3, 0):%Y-%m-%d}:{LARGE}:20")
    with billing(engine, tmp_path / "truth", *errors, *change) as reconciler:
        found = reconciler.compare(hour(1, 0), hour(5, 0), ANN)
        sums = parts(found)
        assert set(sums) <= {*Cause} - {Cause.UNEXPLAINED, Cause.ESTIMATE, Cause.TIMING}

        once = list(traffic.charged([hour(1, 5)]))
        mini, large = cached_nano(once, MINI), cached_nano(once, LARGE)
        other = cached_nano(once, "gpt-5.6-sol")
        assert mini
        assert large
        of_cached = Decimal("0.085") * (7 * (mini + other) + large * (3 + 4 * Decimal("1.2")))
        assert abs(sums[Cause.CACHED_TOKENS] - of_cached) <= 10
        of_price = 4 * Decimal("0.2") * billed_nano(of_model(once, LARGE))
        assert abs(sums[Cause.PRICE] - of_price) <= 10
        assert abs(sums[Cause.ROUNDING]) <= 10
        missing = {
            day: sum(
                part.nano
                for difference in found.differences
                for part in difference.parts
                if part.cause is Cause.MISSING and difference.day == hour(day, 0)
            )
            for day in (1, 2, 3, 4)
        }
        whole = billed_nano(once)
        assert (missing[1], missing[3]) == (0, 0)
        assert abs(missing[2] + whole) <= 10
        assert abs(missing[4] - whole) <= 10

        _check_what_is_said(found)

        assert approve_reconciliation(engine, found.id, ANN) > 0
        assert recorded_nano(engine) == found.theirs_nano != found.ours_nano
        again = reconciler.compare(hour(1, 0), hour(5, 0), ANN)
    assert again.differences == ()
    assert again.ours_nano == again.theirs_nano == found.theirs_nano
    with engine.connect() as connection:
        nobody = select(func.sum(adjustments.c.cost_nano)).where(adjustments.c.team_id == 0)
        assert abs(connection.execute(nobody).scalar_one() - whole) <= 10
        reasons = set(connection.execute(select(adjustments.c.reason)).scalars())
    assert reasons == {Cause.MISSING, Cause.CACHED_TOKENS, Cause.PRICE}


def _check_what_is_said(found: Comparison) -> None:
    by_cache = explained(found, Cause.CACHED_TOKENS)
    assert all("8.5 % more than our price" in text for text in by_cache)
    assert any("$0.081375 per 1M, not $0.075 per 1M" in text for text in by_cache)
    dearer = explained(found, Cause.PRICE, model="gpt-4o")
    assert dearer == explained(found, Cause.PRICE)
    assert all(text.startswith("From 2026-05-03 on, ") for text in dearer)
    assert any("20 % more than our price: $3 per 1M, not $2.5 per 1M" in text for text in dearer)
    mine = {"model": "gpt-4o", "line_item": "output"}
    (hours,) = explained(found, Cause.MISSING, day=hour(2, 0), **mine)
    assert "Recorded and not billed: the hour 2026-05-02 06:00 UTC (" in hours
    (hours,) = explained(found, Cause.MISSING, day=hour(4, 0), **mine)
    assert "Billed and not recorded: the hour 2026-05-04 05:00 UTC (" in hours
    assert " in 3 requests)" in hours


def test_upper_bounds_and_another_day_are_named_too(
    engine: Engine, rig: Rig, traffic: Traffic, tmp_path: Path
) -> None:
    caller = rig.tenant().caller
    reply = caller.chat(max_tokens=300, directed={"fault": "no-usage"})
    assert reply.status == 200
    guessed = traffic_of(rig, [reply.request_id])
    (row,) = guessed.rows
    assert row["certainty"] == "estimated"
    record_all(engine, [*traffic.events([hour(1, 23)]), *guessed.events([hour(1, 5)])])
    late = [*traffic.charged([hour(2, 0)]), *guessed.charged([hour(1, 5)])]
    charges = write_truth(tmp_path / "truth", late)
    with billing(engine, tmp_path / "truth") as reconciler:
        found = reconciler.compare(hour(1, 0), hour(3, 0), ANN)
        sums = parts(found)
        assert sums.keys() == {Cause.TIMING, Cause.ESTIMATE}
        truth = billed_nano(list(guessed.charged([hour(1, 5)])))
        assert sums[Cause.ESTIMATE] == truth - row["cost_nano"] < 0
        assert sums[Cause.TIMING] == 0
        (says,) = explained(found, Cause.TIMING, day=hour(2, 0), model="tts-1")
        assert says == "6 are recorded on 2026-05-01 and billed on 2026-05-02."
        approve_reconciliation(engine, found.id, ANN)
        assert recorded_nano(engine) == billed_nano(charges) == found.theirs_nano
        assert reconciler.compare(hour(1, 0), hour(3, 0), ANN).differences == ()
    with engine.connect() as connection:
        corrected = select(func.sum(adjustments.c.cost_nano)).where(
            adjustments.c.client_id == row["client_id"], adjustments.c.reason == Cause.ESTIMATE
        )
        assert connection.execute(corrected).scalar_one() == truth - row["cost_nano"]


def test_a_difference_is_posted_once_and_only_while_it_is_so(
    engine: Engine, traffic: Traffic, tmp_path: Path
) -> None:
    record_all(engine, traffic.events([hour(1, 5)]))
    write_truth(tmp_path / "truth", traffic.charged([hour(1, 5), hour(1, 6), hour(2, 5)]))
    with billing(engine, tmp_path / "truth") as reconciler:
        first = reconciler.compare(hour(1, 0), hour(2, 0), ANN)
        assert reconciler.compare(hour(1, 0), hour(2, 0), ANN).id == first.id
        wider = reconciler.compare(hour(1, 0), hour(3, 0), ANN)
        with pytest.raises(ReconciliationError, match="is dismissed, not open"):
            approve_reconciliation(engine, first.id, ANN)
        record_all(engine, traffic.events([hour(1, 6)]))
        with pytest.raises(ReconciliationError, match="has changed since"):
            approve_reconciliation(engine, wider.id, ANN)
        third = reconciler.compare(hour(1, 0), hour(3, 0), ANN)
        with pytest.raises(ReconciliationError, match="only administrators and finance"):
            approve_reconciliation(engine, third.id, Principal("user:bob", Role.OWNER, team_id=1))
        approve_reconciliation(engine, third.id, ANN)
        with pytest.raises(ReconciliationError, match="is approved, not open"):
            approve_reconciliation(engine, third.id, ANN)
        with pytest.raises(ReconciliationError, match="is approved, not open"):
            dismiss(engine, third.id, ANN)
        assert recorded_nano(engine) == third.theirs_nano
    states = [(row.id, row.state) for row in reversed(listed(engine))]
    assert states == [(first.id, "dismissed"), (wider.id, "dismissed"), (third.id, "approved")]
    (decided,) = entries(engine, Filters(subject="reconciliation")).entries
    assert (decided.actor, decided.action, decided.subject_id) == (ANN.actor, "approve", "3")


def test_a_key_that_is_no_administrators_is_refused(engine: Engine, tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", [])
    serving = start_simulator(tmp_path / "truth", "--admin-key", "sk-admin-right")
    simulated = next(serving)
    settings = load_settings(upstream_url=simulated.url, openai_admin_key="sk-admin-wrong")
    reconciler = Reconciler(engine, ProviderBill(settings))
    with pytest.raises(BillUnavailable, match="FAREGATE_OPENAI_ADMIN_KEY"):
        reconciler.compare(hour(1, 0), hour(2, 0), ANN)
    simulated.process.kill_group()
    with pytest.raises(SettingsError, match="FAREGATE_OPENAI_ADMIN_KEY"):
        ProviderBill(load_settings())
