from __future__ import annotations

from pathlib import Path

from gateway.simulator.bill import Bill
from gateway.simulator.bill_faults import bill_faults
from gateway.simulator.truth import Charge, TruthLog

HOUR = 3_600


def charge(at: float, endpoint: str = "chat/completions") -> Charge:
    return Charge(endpoint, "gpt-4o-2024-08-06", prompt_tokens=10, completion_tokens=1, time=at)


def test_the_bill_follows_the_log(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    bill = Bill(path)
    assert list(bill.cells(0, 10**10)) == []
    log = TruthLog(path)
    log.append(charge(61))
    log.append(charge(119.9))
    (cell,) = bill.cells(0, 10**10)
    assert (cell.start, cell.counts["num_model_requests"]) == (60, 2)
    assert sorted(line.count for line in cell.lines.values()) == [2, 20]
    log.append(charge(120))
    with path.open("ab") as torn:
        torn.write(b'{"endpoint":')
    assert [cell.start for cell in bill.cells(0, 10**10)] == [60, 120]
    assert [cell.start for cell in bill.cells(61, 121)] == [120]
    assert list(Bill(None).cells(0, 10**10)) == []


def test_an_omitted_hour_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    log = TruthLog(path)
    for at in (HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR):
        log.append(charge(at))
    bill = Bill(path, bill_faults(omit_hours=["1970-01-01T01"]))
    assert [cell.start for cell in bill.cells(0, 10**10)] == [HOUR - 60, 2 * HOUR]
