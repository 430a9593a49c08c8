from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from gateway.simulator.bill_faults import Rounding, bill_faults

MAY = 1_777_593_600


def test_faults_multiply() -> None:
    faults = bill_faults("8.5", ["2026-05-01T13"], ["2026-05-02:gpt-4o*:-20"], "noise")
    assert faults.rounding is Rounding.NOISE
    assert faults.factor("gpt-4o", "cached input", MAY) == Fraction(1085, 1000)
    assert faults.factor("gpt-4o", "cached input", MAY + 86_400) == Fraction(868, 1000)
    assert faults.factor("gpt-4o", "input", MAY + 86_400) == Fraction(4, 5)
    assert faults.factor("o3", "input", MAY + 86_400) == 1
    assert [faults.omits(MAY + 13 * 3_600 + n) for n in (-1, 0, 3_599, 3_600)] == [
        False,
        True,
        True,
        False,
    ]
    assert bill_faults().factor("m", "cached input", MAY) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"cached_percent": "x"}, {"price_changes": ["2026-05-01:20"]}, {"omit_hours": ["noon"]}],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        bill_faults(**wrong)
