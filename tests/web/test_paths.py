from __future__ import annotations

import pytest
from flask import Flask

from gateway.core.errors import ApiError
from gateway.web import paths


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    paths.install(app)
    app.register_error_handler(ApiError, lambda error: (error.message, error.status))

    @app.get("/things/<int:thing_id>")
    def thing(thing_id: int) -> str:
        return str(thing_id)

    return app


@pytest.mark.parametrize("known", ["0", "1", str(2**63 - 1)])
def test_an_id_of_a_path_is_one_that_databases_know(app: Flask, known: str) -> None:
    assert app.test_client().get(f"/things/{known}").text == known


@pytest.mark.parametrize("strange", [str(2**63), "9" * 5000, "-1", "%D9%A3", "1.0", ""])
def test_what_is_no_such_id_is_nowhere(app: Flask, strange: str) -> None:
    assert app.test_client().get(f"/things/{strange}").status_code == 404


@pytest.mark.parametrize("raw", ["/things//1", "/things/%31", "/./things/1", "/things/1;a"])
def test_ambiguous_paths_are_refused(app: Flask, raw: str) -> None:
    client = app.test_client()
    assert client.get("/things/1", environ_overrides={"RAW_URI": "/things/1?a=//%31"}).text == "1"
    assert client.get("/things/1", environ_overrides={"RAW_URI": raw}).status_code == 404
