from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.core import config_fields
from gateway.core.config_fields import InvalidField

CHECKS: dict[str, tuple[Callable[[Any], Any], list[tuple[Any, Any]], list[Any]]] = {
    "name": (config_fields.name, [("a b.c@d/e-f", "a b.c@d/e-f")], ["", " a", "a" * 101, 5, "ä"]),
    "names": (config_fields.names, [(["b", "a", "b"], ["a", "b"])], [[], "a", [""]]),
    "pattern": (config_fields.pattern, [("gpt-4o*", "gpt-4o*")], ["", "a\n", "a" * 129, 1]),
    "patterns": (config_fields.patterns, [([], []), (["b", "a"], ["b", "a"])], ["a", [""]]),
    "count": (config_fields.count, [(0, 0), (10**12, 10**12)], [-1, 10**12 + 1, True, "1", 1.0]),
    "flag": (config_fields.flag, [(True, True)], [1, "true", None]),
    "amount": (
        config_fields.amount,
        [("500", "500.00"), ("0.10", "0.10"), ("0.000000001", "0.000000001")],
        [500, 0.1, "-1", "1e3", "1_000", "$1", "0.0000000001", "9007199.254740992", " 1"],
    ),
    "zone": (config_fields.zone, [("Europe/Berlin", "Europe/Berlin")], ["Mars", "", None, "../x"]),
    "tag_name": (config_fields.tag_name, [("a.b_c-1", "a.b_c-1")], ["", "A", "a b", 1]),
    "tag_pair": (config_fields.tag_pair, [("a=b=c", "a=b=c")], ["a", "a=", "=b", "A=b", 1]),
    "percents": (config_fields.percents, [([100, 50, 50], [50, 100])], [[], [0], ["50"], 50]),
    "tokens": (config_fields.tokens, [(1, 1)], [0, -1, True, "5", 2**53]),
    "threshold": (config_fields.threshold, [(0, 0)], [-1, True]),
    "one_of": (config_fields.one_of("a", "b"), [("a", "a")], ["c", "", None, ["a"]]),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_a_value_is_kept_in_one_form_or_refused(kind: str) -> None:
    check, good, bad = CHECKS[kind]
    for given, kept in good:
        assert check(given) == kept
    for given in bad:
        with pytest.raises(InvalidField):
            check(given)


def test_a_moment_has_an_offset() -> None:
    berlin = timezone(timedelta(hours=2))
    wanted = datetime(2026, 7, 1, tzinfo=UTC)
    assert config_fields.moment(datetime(2026, 7, 1, 2, tzinfo=berlin)) == wanted
    assert config_fields.moment("2026-07-01T02:00:00+02:00") == wanted
    for bad in (datetime(2026, 7, 1), wanted.date(), "2026-07-01", 5):  # noqa: DTZ001
        with pytest.raises(InvalidField, match="with its offset"):
            config_fields.moment(bad)
