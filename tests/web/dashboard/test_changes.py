from __future__ import annotations

import csv
import io
import json

import pytest

from tests.web.dashboard.visitor import Site, words


def test_changes_are_shown_field_by_field(site: Site) -> None:
    visitor = site.visitor()
    site.directory.change_client("blue-web", requests_per_minute=7, allowed_models=["gpt-4o*"])
    text = words(visitor.get("/audit-log"))
    assert "cli:root changed client blue-web" in text
    assert "requests per minute 0 7" in text
    assert "allowed models nothing gpt-4o*" in text
    for secret in site.secrets.values():
        assert secret not in text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?subject=team", 2),
        ("?subject=key&action=create", 2),
        ("?actor=cli:root&subject=client", 2),
        ("?actor=nobody", 0),
        ("?subject=client&id=2", 1),
        ("?to=2020-01-01", 0),
    ],
)
def test_changes_are_filtered(site: Site, query: str, count: int) -> None:
    visitor = site.visitor()
    page = visitor.get(f"/audit-log{query}")
    assert page.count('<li class="change">') == count
    assert count or "No change matches" in page
    rows = list(csv.DictReader(io.StringIO(visitor.ask(f"/audit-log{query}&format=csv").text)))
    assert len(rows) == count


def test_pages_of_changes_follow_each_other_and_an_export_has_all(any_site: Site) -> None:
    for number in range(60):
        any_site.directory.change_client("red-web", requests_per_minute=number + 1)
    visitor = any_site.visitor()
    first = visitor.get("/audit-log?subject=client")
    assert first.count('<li class="change">') == 50
    older = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    assert visitor.get(older.replace("&amp;", "&")).count('<li class="change">') == 12
    answer = visitor.ask("/audit-log?subject=client&format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len(rows) == 62
    assert json.loads(rows[0]["after"])["requests_per_minute"] == 60
    assert "A day is written" in visitor.get("/audit-log?from=yesterday")
