"""What the documentation says of the code is so."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.core.alert_messages import message_of
from gateway.core.webhook_signatures import new_secret, signed_headers
from gateway.web.admin.description import described
from tests.core.test_alert_messages import THRESHOLD

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/adding-an-endpoint.md").read_text()


def test_the_page_on_endpoints_quotes_code_as_it_is() -> None:
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for file, code in blocks:
        assert code in (ROOT / file).read_text(), f"the code of {file} has changed"


def test_the_page_on_endpoints_names_files_that_exist() -> None:
    names = set(re.findall(r"`((?:gateway|tests|docs)/[\w./-]+)`", PAGE))
    assert len(names) > 15
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_page_on_endpoints_names_code_that_exists() -> None:
    """Each name with a file behind it in brackets is in that file."""
    named = re.findall(r"`(\w+)` \(`(gateway/[\w./]+)`", PAGE)
    assert len(named) > 4
    for name, file in named:
        assert re.search(rf"\b{name}\b", (ROOT / file).read_text()), (name, file)


def test_receivers_of_alerts_can_verify_as_the_page_on_alerts_shows() -> None:
    (snippet,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/alerts.md").read_text(), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(snippet, names)
    verified = names["verified"]
    secret, body, now = new_secret(), b'{"type":"test"}', int(time.time())
    headers = signed_headers(secret, "msg_1", now, body)
    assert verified(secret, headers, body)
    rotated = {
        **headers,
        "webhook-signature": f"v1,c29tZSBvdGhlcg== {headers['webhook-signature']}",
    }
    assert verified(secret, rotated, body), "one good signature among several is enough"
    assert not verified(secret, headers, body + b" ")
    assert not verified(new_secret(), headers, body)
    assert not verified(secret, {**headers, "webhook-id": "msg_2"}, body)
    assert not verified(secret, signed_headers(secret, "msg_1", now - 301, body), body)


def test_the_page_on_alerts_shows_the_body_that_is_sent() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/alerts.md").read_text(), re.DOTALL)
    shown = json.loads(example)
    sent = message_of(THRESHOLD, datetime.now(UTC), "1", "2").as_webhook()
    assert shown.keys() == sent.keys()
    assert shown["data"].keys() == sent["data"].keys()


def test_the_page_on_the_admin_api_names_what_there_is() -> None:
    page = (ROOT / "docs/admin-api.md").read_text()
    (table,) = re.findall(r"## In short\n(.*?)\n## ", page, re.DOTALL)
    named = set(re.findall(r"(/[a-z-]+(?:/[{}a-z_-]+)*)", table))
    bare = re.compile(r"\{\w+\}")
    served = {bare.sub("{}", path.removeprefix("/admin/api/v1")) for path in described()["paths"]}
    wanted = {bare.sub("{}", path) for path in named}
    assert wanted <= served
    subjects = {path.split("/")[1] for path in served}
    assert subjects == {path.split("/")[1] for path in wanted}, "every subject is in the table"
    codes = set(re.findall(r"^\| \d+ \| (.*?) \|", page, re.MULTILINE))
    errors = (ROOT / "docs/errors.md").read_text() + (ROOT / "docs/access.md").read_text()
    for code in re.findall(r"`(\w+)`", " ".join(codes)):
        assert f"`{code}`" in errors or code.startswith(("token_", "csrf_")), code
