from __future__ import annotations

import gzip
import re
from collections.abc import Callable

from flask import Flask

from gateway.web.dashboard.assets import FOLDER, asset, assets


def test_a_file_is_kept_for_ever_under_its_version(make_app: Callable[[], Flask]) -> None:
    caller = make_app().test_client()
    answer = caller.get(asset("faregate.css"))
    assert answer.status_code == 200
    assert answer.content_type == "text/css; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.data == (FOLDER / "faregate.css").read_bytes()
    again = caller.get(asset("faregate.css"), headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_file_of_another_version_is_asked_for_again(make_app: Callable[[], Flask]) -> None:
    answer = make_app().test_client().get("/static/0123456789abcdef/charts.js")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


def test_what_is_there_alone_is_served(make_app: Callable[[], Flask]) -> None:
    caller = make_app().test_client()
    for path in ("/static/x/none.js", "/static/x/vendor/../formats.py", "/static/x/vendor"):
        assert caller.get(path).status_code == 404


def test_files_are_compressed_for_who_takes_it(make_app: Callable[[], Flask]) -> None:
    caller = make_app().test_client()
    path = asset("vendor/echarts.common.min.js")
    plain = caller.get(path)
    packed = caller.get(path, headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert len(packed.data) < len(plain.data) // 2
    assert "Accept-Encoding" in packed.headers["Vary"]


def test_files_name_no_other_host() -> None:
    for name, found in assets().items():
        if name.startswith("vendor/") or not name.endswith((".css", ".js")):
            continue
        text = found.body.decode()
        assert not re.search(r"(?:url\(|import[^;]*|src\s*=\s*)[\"']?(?:https?:)?//", text), name
