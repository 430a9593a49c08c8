from __future__ import annotations

import pytest

from gateway.web.page_rules import is_page, safe_next
from tests.web.control import Control


@pytest.mark.parametrize(
    "wanted",
    ["/", "/teams", "/teams/3?since=2026-05-01&group=model", "/budgets/7", "/requests?tag=a:b"],
)
def test_one_goes_on_to_pages_of_ours(wanted: str) -> None:
    assert safe_next(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "",
        "teams",
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        " /teams",
        "/te\u00e4ms",
        "/teams\r\nSet-Cookie: a=b",
        "/sign-in",
        "/sign-in?next=/",
        "/sign-in/oidc",
        "/sign-out",
        "/v1/models",
        "/admin/api/v1/teams",
        "/teams//evil.example",
        "/" + "x" * 600,
    ],
)
def test_one_goes_on_nowhere_else(wanted: str | None) -> None:
    assert safe_next(wanted) == "/"


def test_what_is_for_programs_is_no_page() -> None:
    for path in ("/v1", "/v1/models", "/admin/api", "/admin/api/v1/teams"):
        assert not is_page(path)
    for path in ("/", "/teams", "/v1x", "/admin", "/sign-in"):
        assert is_page(path)


def test_pages_run_nothing_of_others_and_stand_in_no_frame(control: Control) -> None:
    headers = control.browser().get("/sign-in").headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self';"
        " object-src 'none'"
    )
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_refusals_of_pages_and_of_the_admin_api_have_the_headers_too(control: Control) -> None:
    for path in ("/nothing-here", "/admin/api/v1/nothing-here"):
        headers = control.browser().get(path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


def test_answers_of_openais_api_are_as_they_were(control: Control) -> None:
    headers = control.browser().get("/v1/models").headers
    assert "Content-Security-Policy" not in headers
    assert "Cache-Control" not in headers


def test_the_sign_in_page_has_no_script_and_no_style_inside(control: Control) -> None:
    page = control.browser().get("/sign-in").text
    for mark in ("<script>", "<style", "style=", "onclick", "javascript:"):
        assert mark not in page
