from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gateway.adapters.usage_rows import record
from gateway.core.events import UsageEvent
from gateway.core.roles import Role
from tests.adapters.recorded import event
from tests.web.dashboard.visitor import Site, words

NOW = datetime.now(UTC)
LINES = [["input", 1000, 500_000_000, 1_000_000], ["output", 333, 1_500_000_001, 1_000_000]]


def ms(**back: float) -> int:
    return int((NOW - timedelta(**back)).timestamp() * 1000)


def red(request_id: str, cost: int, **changes: Any) -> UsageEvent:
    return event(request_id, cost, team_id=2, client_id=2, key_id=2, **changes)


def fill(site: Site) -> None:
    record(
        site.engine,
        [
            event("frq_a", 999_501, at=ms(minutes=1), lines=LINES, duration_ms=1234),
            event("frq_b", 0, at=ms(minutes=2), status=429, upstream_id="chatcmpl-9", budgets=""),
            red("frq_c", 5_000_000_000, at=ms(minutes=3), certainty="estimated", model="n"),
            event("frq_old", 7, at=ms(days=3)),
        ],
    )


def ids(page: str) -> list[str]:
    return [name for name in ("frq_a", "frq_b", "frq_c", "frq_old") if f"/requests/{name}" in page]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["frq_a", "frq_b", "frq_c"]),
        ("?range=7d", ["frq_a", "frq_b", "frq_c", "frq_old"]),
        ("?range=month&team=red", ["frq_c"]),
        ("?team=red", ["frq_c"]),
        ("?client=1", ["frq_a", "frq_b"]),
        ("?client=blue-web&status=failed", ["frq_b"]),
        ("?key=2", ["frq_c"]),
        ("?model=n", ["frq_c"]),
        ("?certainty=estimated", ["frq_c"]),
        ("?min_cost=0.0009", ["frq_a", "frq_c"]),
        ("?id=frq_old", []),
        ("?id=frq_old&range=7d", ["frq_old"]),
        ("?id=chatcmpl-9", ["frq_b"]),
        ("?tag=project%3Dapollo", []),
    ],
)
def test_requests_are_found_by_what_the_address_asks_for(
    site: Site, query: str, found: list[str]
) -> None:
    fill(site)
    assert ids(site.visitor().get(f"/requests{query}")) == found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?team=green", "There is no team green."),
        ("?min_cost=abc", "Write dollars"),
        ("?tag=abc", "Write name=value"),
        ("?status=6xx", "Choose one of"),
        ("?from=2026-99-99&to=2026-01-01", "From and to are moments"),
        ("?after=x", "This is no place in the list"),
    ],
)
def test_what_cannot_be_understood_is_said_and_kept(site: Site, query: str, said: str) -> None:
    fill(site)
    page = site.visitor().get(f"/requests{query}")
    assert said in words(page)
    if "min_cost" in query:
        assert 'value="abc"' in page
        assert ids(page) == ["frq_a", "frq_b", "frq_c"]


def test_pages_lead_to_each_other(site: Site) -> None:
    record(site.engine, [event(f"frq_{n:03}", n, at=ms(seconds=n)) for n in range(120)])
    visitor, path, seen = site.visitor(), "/requests", 0
    for count in (50, 50, 20):
        page = visitor.get(path)
        assert page.count('<tr id="r-frq_') == count
        seen += count
        path = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    assert seen == 120


def test_an_owner_sees_one_team_and_a_key_its_client(site: Site) -> None:
    fill(site)
    owner = site.visitor(Role.OWNER, "red")
    assert ids(owner.get("/requests?range=7d")) == ["frq_c"]
    assert ids(owner.get("/requests?range=7d&team=blue")) == []
    assert ids(owner.get("/requests?range=7d&id=frq_a")) == []
    assert "frq_c" in owner.get("/requests/frq_c")
    assert "no record of a request" in owner.get("/requests/frq_a", 404)
    assert "frq_a" not in owner.ask("/requests?range=7d&format=csv").text
    assert "frq_c" in owner.ask("/requests?range=7d&format=csv").text
    assert "blue-web" not in owner.get("/requests?client=1")
    asked = {"Authorization": f"Bearer {site.secrets['blue-web']}"}
    answer = site.app.test_client().get("/requests?range=7d&format=csv", headers=asked)
    assert "frq_a" in answer.text
    assert "frq_c" not in answer.text


def test_filters_offer_and_know_what_the_viewer_may_see(site: Site) -> None:
    fill(site)
    site.directory.create_client("blue", "blue-other")
    site.directory.create_key("blue-other", "second")
    owner = site.visitor(Role.OWNER, "blue").get("/requests")
    assert 'value="blue-other"' in owner
    assert 'value="n"' not in owner
    asked = {"Authorization": f"Bearer {site.secrets['blue-web']}"}
    client = site.app.test_client()
    own = client.get("/requests", headers=asked).text
    assert 'value="blue-web"' in own
    assert "blue-other" not in own
    # A key of another client of the same team is not there, like one that nobody has.
    for name, theirs in (("key", "3"), ("client", "blue-other"), ("key", "99")):
        page = client.get(f"/requests?{name}={theirs}", headers=asked).text
        assert f"There is no {name} {theirs}." in page


def test_nobody_looks_without_signing_in(site: Site) -> None:
    answer = site.app.test_client().get("/requests/frq_a")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in")


def test_a_cost_is_shown_line_by_line(site: Site) -> None:
    fill(site)
    visitor = site.visitor()
    text = words(visitor.get("/requests/frq_a"))
    for part in (
        "input $0.50 per 1M 1,000 $0.50 per 1M $0.0005",
        "$0.000499500000333",
        "Rounded up to a nano-dollar, once for the whole bill +$0.000000000999667",
        "Cost $0.000999501",
        "budget 1",
        "Status 200, 1.23 s after the request came.",
        "The provider reported the usage",
    ):
        assert part in text, part
    text = words(visitor.get("/requests/frq_b"))
    assert "Nothing was billed" in text
    assert "No budget covered this request" in text
    record(site.engine, [event("frq_a", 5, at=ms(minutes=1), kind="correction", lines=LINES)])
    text = words(visitor.get("/requests/frq_a"))
    assert "How it was corrected" in text
    assert "The lines do not sum to the cost." in text


def test_exports_have_every_record_and_exact_money(any_site: Site, tmp_path: Path) -> None:
    fill(any_site)
    visitor = any_site.visitor()
    answer = visitor.ask("/requests?range=7d&format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["request_id"] for row in rows] == ["frq_a", "frq_b", "frq_c", "frq_old"]
    assert [row["cost_usd"] for row in rows[:3]] == ["0.000999501", "0.000000000", "5.000000000"]
    assert [row["team"] for row in rows] == ["blue", "blue", "red", "blue"]
    answer = visitor.ask("/requests?range=7d&team=red&format=parquet")
    path = tmp_path / "table.parquet"
    path.write_bytes(answer.data)
    chosen = "SELECT request_id, cost_nano, CAST(cost_usd AS VARCHAR) FROM read_parquet(?)"
    with duckdb.connect() as connection:
        found = connection.execute(chosen, [str(path)]).fetchall()
    assert found == [("frq_c", 5_000_000_000, "5.000000000")]
    assert "use csv or parquet" in visitor.get("/requests?format=xlsx", 400)


def test_following_live_asks_again(site: Site) -> None:
    fill(site)
    visitor = site.visitor()
    page = visitor.get("/requests?live=1")
    assert 'data-live="2"' in page
    assert "Stop following" in page
    assert 'data-live="' not in visitor.get("/requests")
    part = visitor.ask("/requests?live=1", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "/requests/frq_a" in part
