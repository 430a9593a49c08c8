from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.holds import Hold, RateState
from gateway.core.long_work import Work
from gateway.core.objects import Kind, OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.prices import CostLine, Meter, Price, Rate
from gateway.core.progress import Gone, Progress
from gateway.core.training_progress import ENDED, follow_job
from gateway.core.usage import Usage

JOB_ID = "ftjob-1"
HELD = 1_000_000
PRICE = Price(
    5,
    "fine-tuning/m",
    (),
    "test",
    datetime(2026, 1, 1, tzinfo=UTC),
    {"default": {Meter.TRAINED_TOKENS: Rate(3_000_000_000)}},
)
ONE = OwnedObject(Kind.FINE_TUNING_JOB, JOB_ID, 1, 1, 1, 1)
WORK = Work(Hold("frq_1", 1, "m", (), 0, HELD, 1, -1, RateState(), "", b"{}"), 5, "default")


class Provider:
    """Answers as a provider does that has one job and its checkpoints, two on a page."""

    def __init__(self, job: dict[str, Any], checkpoints: int | None = 0) -> None:
        self.job = job
        self.checkpoints = (
            None if checkpoints is None else [f"ckpt-{number}" for number in range(checkpoints)]
        )

    def json(self, path: str) -> Mapping[str, Any]:
        if path == f"/fine_tuning/jobs/{JOB_ID}":
            return self.job
        if self.checkpoints is None:
            raise Gone(path)
        base, _, after = path.partition("&after=")
        assert base == f"/fine_tuning/jobs/{JOB_ID}/checkpoints?limit=100"
        start = self.checkpoints.index(after) + 1 if after else 0
        page = self.checkpoints[start : start + 2]
        return {
            "data": [{"id": name, "fine_tuned_model_checkpoint": f"ft:{name}"} for name in page],
            "has_more": start + 2 < len(self.checkpoints),
            "last_id": page[-1] if page else None,
        }

    def lines(self, path: str) -> Iterator[bytes]:
        raise AssertionError(path)


def job(status: str, **fields: Any) -> dict[str, Any]:
    return {"id": JOB_ID, "status": status, "trained_tokens": None, **fields}


def follow(provider: Provider) -> Progress:
    return follow_job(provider, ONE, WORK, lambda number: PRICE if number == 5 else None)


def outcome(status: str, **fields: Any) -> Outcome:
    found = follow(Provider(job(status, **fields))).outcome
    assert found is not None
    return found


@pytest.mark.parametrize("status", ["validating_files", "queued", "running"])
def test_a_job_that_goes_on_costs_nothing_yet(status: str) -> None:
    found = follow(Provider(job(status, trained_tokens=5)))
    assert (found.outcome, found.found) == (None, [])
    assert found.data is not None


def test_an_answer_about_something_else_says_nothing() -> None:
    assert follow(Provider({})) == Progress()


@pytest.mark.parametrize("status", ["succeeded", "cancelled", "failed"])
def test_what_was_trained_is_charged(status: str) -> None:
    found = outcome(status, trained_tokens=12)
    assert (found.cost_nano, found.certainty) == (36_000, "exact")
    assert found.usage == Usage(trained_tokens=12)
    assert found.lines == (CostLine(Meter.TRAINED_TOKENS, 12, 3_000_000_000, 1_000_000),)
    assert outcome(status, trained_tokens=0).cost_nano == 0


def test_a_job_that_failed_without_training_costs_nothing() -> None:
    found = outcome("failed")
    assert (found.cost_nano, found.certainty, found.reason) == (0, "exact", "job_failed")


@pytest.mark.parametrize(
    ("status", "tokens"),
    [
        *((status, None) for status in ("succeeded", "cancelled")),
        *((status, bad) for status in sorted(ENDED) for bad in ("12", True, -1, 2**60)),
    ],
)
def test_where_nobody_can_say_the_hold_is_charged_and_marked(status: str, tokens: object) -> None:
    found = outcome(status, trained_tokens=tokens)
    assert (found.cost_nano, found.certainty) == (HELD, "estimated")
    assert found.reason == "usage_not_reported"


def test_a_price_that_is_gone_charges_the_hold() -> None:
    provider = Provider(job("succeeded", trained_tokens=1))
    found = follow_job(provider, ONE, WORK, lambda _: None).outcome
    assert found is not None
    assert (found.cost_nano, found.reason) == (HELD, "not_priced")


def test_all_that_a_job_has_made_is_found() -> None:
    made = job("succeeded", trained_tokens=1, fine_tuned_model="ft:last", result_files=["file-1"])
    found = follow(Provider(made, checkpoints=5)).found
    assert [(one.kind, one.id) for one in found] == [
        (Kind.MODEL, "ft:last"),
        (Kind.FILE, "file-1"),
        *((Kind.MODEL, f"ft:ckpt-{number}") for number in range(5)),
    ]


def test_a_provider_without_checkpoints_is_billed_for_all_that() -> None:
    found = follow(Provider(job("succeeded", trained_tokens=1), checkpoints=None))
    assert found.found == []
    assert found.outcome is not None
    assert found.outcome.cost_nano == 3_000
