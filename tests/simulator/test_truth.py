from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gevent
import pytest
from openai import OpenAI

from gateway.simulator.truth import Charge, TruthLog, read_truth
from tests.simulator.conftest import Simulated, question


def test_a_charge_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    log = TruthLog(path)
    charge = Charge("chat/completions", "gpt-4o", completion_tokens=3, units={"images": 2})
    log.append(charge)
    assert read_truth(path) == [charge]


def test_concurrent_charges_are_all_written_once(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    log = TruthLog(path)
    waiting = [gevent.spawn(log.append, Charge("e", "m", number=n)) for n in range(500)]
    gevent.joinall(waiting, raise_error=True)
    assert sorted(charge.number for charge in read_truth(path)) == list(range(500))
    assert log.totals()["requests"] == 500


def test_a_torn_last_line_is_not_counted_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    TruthLog(path).append(Charge("e", "m", number=1, prompt_tokens=5))
    with path.open("ab") as log:
        log.write(b'{"endpoint":"e","mod')
    assert [charge.number for charge in read_truth(path)] == [1]
    reopened = TruthLog(path)
    reopened.append(Charge("e", "m", number=2, prompt_tokens=6))
    assert [charge.number for charge in read_truth(path)] == [1, 2]
    assert reopened.totals()["prompt_tokens"] == 11


def test_a_damaged_line_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    path.write_bytes(b"damaged\n")
    with pytest.raises(ValueError, match=r".+"):
        read_truth(path)


def test_no_log_holds_no_charges(tmp_path: Path) -> None:
    assert read_truth(tmp_path / "none") == []


def test_usage_of_concurrent_requests_equals_the_truth(
    simulated: Simulated, client: OpenAI
) -> None:
    def ask(number: int) -> tuple[str | None, int, int]:
        answer = client.chat.completions.create(**question(f"Question {number}"))
        assert answer.usage is not None
        return answer._request_id, answer.usage.prompt_tokens, answer.usage.completion_tokens

    with ThreadPoolExecutor(8) as threads:
        reported = list(threads.map(ask, range(40)))
    assert len({request_id for request_id, _, _ in reported}) == 40
    for request_id, prompt, completion in reported:
        charge = simulated.charge(request_id)
        assert (charge.prompt_tokens, charge.completion_tokens) == (prompt, completion)
