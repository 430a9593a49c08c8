"""Whatever an address says, a page answers it, or says what is wrong: it never fails."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from gateway.core.roles import Role
from tests.web.dashboard.visitor import Site

STRANGE = [
    "a\0b",
    "9" * 19,
    "9" * 5000,
    "9999-12-31",
    "1700000000000000.a.b\N{PILE OF POO}",
    "'\"><script>alert(1)</script>",
]
PARAMETERS = {
    "/": "range from to group compare team client key model endpoint tier tag",
    "/teams": "range from to group team key tag",
    "/teams/1": "range from to group client tag",
    "/clients/1": "range from to group key model tag",
    "/budgets": "format sort",
    "/requests": "id team client key model endpoint status certainty tag min_cost after range from"
    " to live",
    "/prices": "model own",
    "/prices/new": "model",
    "/alerts": "before",
    "/alerts/rule/remove": "name",
    "/audit-log": "before actor subject id action from to",
    "/clients/new": "team",
    "/budgets/new": "team client",
    "/sign-in": "next",
}


def test_a_page_answers_whatever_it_is_asked(any_site: Site) -> None:
    any_site.app.config["PROPAGATE_EXCEPTIONS"] = False
    admin, failed = any_site.visitor(Role.ADMIN), []
    for page, named in PARAMETERS.items():
        for value in STRANGE:
            query = urlencode(dict.fromkeys(named.split(), value))
            answer = admin.ask(f"{page}?{query}")
            if answer.status_code >= 500 or "<script>alert(1)" in answer.text:
                failed.append((page, value[:40], answer.status_code))
    assert failed == []


@pytest.mark.parametrize("form", ["/teams/new", "/people/new", "/tokens/new", "/tags"])
def test_a_form_takes_no_nul(any_site: Site, form: str) -> None:
    any_site.visitor(Role.ADMIN).post(form, 400, name="a\0b", email="a\0@b.example", role="admin")


def test_an_id_that_no_database_knows_is_nowhere(any_site: Site) -> None:
    admin = any_site.visitor(Role.ADMIN)
    for page in ("teams", "clients", "budgets", "prices", "reconciliation"):
        admin.get(f"/{page}/{2**63}", 404)
        admin.get(f"/{page}/{2**63 - 1}", 404)


def test_a_filter_of_the_usage_api_takes_no_nul(any_site: Site) -> None:
    admin = any_site.visitor(Role.ADMIN)
    for path in ("costs?line_items", "costs?models", "usage/completions?models"):
        answer = admin.ask(f"/v1/organization/{path}=a%00b&start_time=1700000000")
        assert answer.status_code == 400
