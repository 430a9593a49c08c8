"""The frame of the pages, around a page of the test's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from jinja2 import ChoiceLoader, DictLoader

from gateway.core.errors import Forbidden
from gateway.core.roles import Principal, Role
from gateway.web.dashboard import shell
from gateway.web.dashboard.assets import FOLDER, asset

ADMIN = Principal("user:ann@acme.example", Role.ADMIN)
CLIENT = Principal("key:fg-abcd...wxyz", Role.CLIENT, 1, 2)
TEMPLATE = """{% extends layout %}
{% import "macros.html" as ui with context %}
{% block content %}{{ ui.money(nano) }}{{ ui.csrf() }}
{{ ui.empty("None", "text", commands=[("Make one", "faregate team create <x>")]) }}{% endblock %}
"""


@pytest.fixture
def app(make_app: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr("gateway.web.principals.csrf_token", lambda: "the-token")
    made = make_app()
    loader = made.jinja_env.loader
    assert loader is not None
    made.jinja_env.loader = ChoiceLoader([DictLoader({"page.html": TEMPLATE}), loader])
    blueprint = shell.pages("test")

    @blueprint.get("/page/<viewer>")
    def page(viewer: str) -> Response:
        if viewer == "nobody":
            raise Forbidden("This page is for <platform engineers>.")
        who = {"admin": ADMIN, "client": CLIENT}[viewer]
        crumbs = [shell.Crumb("Pages", "/page/admin")]
        return shell.render(
            "page.html", who, title="A <page>", crumbs=crumbs, live=5, nano=1_500_000_000
        )

    @blueprint.post("/page/done")
    def done() -> Response:
        return shell.redirect_with("/page/admin", "Team <b>created</b>.")

    made.register_blueprint(blueprint)
    return made


def test_a_page_has_its_frame(app: Flask) -> None:
    answer = app.test_client().get("/page/admin?range=7d")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.text
    assert '<a class="skip" href="#main">' in text
    assert "<h1>A &lt;page&gt;</h1>" in text
    assert '<span aria-current="page">A &lt;page&gt;</span>' in text
    assert '<a href="/page/admin">Pages</a>' in text
    assert "ann@acme.example" in text
    assert "Platform engineer" in text
    assert 'hx-get="/page/admin?range=7d"' in text
    assert '<span class="num" title="$1.50">$1.50</span>' in text
    assert re.search(
        r'action="/sign-out">\s*<input type="hidden" name="csrf_token" value="the-', text
    )
    assert "faregate team create &lt;x&gt;" in text


def test_a_live_update_is_the_content_alone(app: Flask) -> None:
    answer = app.test_client().get("/page/admin", headers={"HX-Request": "true"})
    assert "$1.50" in answer.text
    assert "<html" not in answer.text
    assert "<h1" not in answer.text
    assert "HX-Request" in answer.headers["Vary"]


def test_no_page_has_scripts_or_styles_of_its_own(app: Flask) -> None:
    text = app.test_client().get("/page/admin").text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert all(
        re.match(r'<script[^>]* src="/static/', tag) for tag in re.findall(r"<script.*?>", text)
    )
    for template in (Path(shell.__file__).parent / "templates").glob("*.html"):
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*\ssrc=)", template.read_text()
        )


def test_what_a_client_cannot_open_is_not_offered(app: Flask) -> None:
    text = app.test_client().get("/page/client").text
    assert "fg-abcd...wxyz" in text
    assert 'href="/audit-log"' not in text
    assert 'href="/teams"' not in text


def test_a_page_says_once_what_was_done(app: Flask) -> None:
    caller = app.test_client()
    answer = caller.post("/page/done")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/page/admin")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "Team &lt;b&gt;created&lt;/b&gt;." in caller.get("/page/admin").text
    assert "created" not in caller.get("/page/admin").text


@pytest.mark.parametrize("cookie", ["", "x", "e30=", "W10=", "eyJ0ZXh0IjogMX0="])
def test_a_made_up_note_says_nothing(app: Flask, cookie: str) -> None:
    caller = app.test_client()
    caller.set_cookie("faregate_note", cookie)
    assert caller.get("/page/admin").status_code == 200


def test_an_error_of_a_page_is_a_page(app: Flask) -> None:
    answer = app.test_client().get("/page/nobody")
    assert answer.status_code == 403
    assert answer.content_type == "text/html; charset=utf-8"
    assert "This page is for &lt;platform engineers&gt;." in answer.text


def test_a_table_is_ordered_by_the_query(app: Flask) -> None:
    def order(query: str) -> Any:
        with app.test_request_context(f"/page/admin?{query}"):
            return shell.sorting(("name", "cost"), "-cost")

    assert (order("").key, order("").descending) == ("cost", True)
    assert (order("sort=name").key, order("sort=name").descending) == ("name", False)
    assert order("sort=password").key == "cost"
    assert order("range=7d&page=3").link("name") == "/page/admin?range=7d&sort=-name"
    assert order("sort=-name").link("name") == "/page/admin?sort=name"


def test_every_file_that_the_frame_names_is_there() -> None:
    for template in (Path(shell.__file__).parent / "templates").glob("*.html"):
        for name in re.findall(r"asset\('([^']+)'\)", template.read_text()):
            assert asset(name).endswith(name)
            assert (FOLDER / name).is_file()
