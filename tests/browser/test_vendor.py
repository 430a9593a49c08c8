"""What others made is what VENDOR.md says it is, with its licence."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"
ROW = re.compile(
    r"^\| `([^`]+)` \| (.+?) \| ([\d.]+) \| (.+?) \| `([0-9a-f]{64})` \|$", re.MULTILINE
)


def test_every_file_is_listed_unchanged_and_licensed() -> None:
    rows = ROW.findall((VENDOR / "VENDOR.md").read_text())
    files = {path.name for path in VENDOR.iterdir() if path.is_file()} - {"VENDOR.md"}
    assert {name for name, *_ in rows} == files
    for name, _, version, licence, digest in rows:
        body = (VENDOR / name).read_bytes()
        assert hashlib.sha256(body).hexdigest() == digest, name
        assert f"v{version}".encode() in body[:200]
        paths = re.findall(r"`(licenses/[^`]+)`", licence)
        assert "Mozilla Public License, version 2.0" in (VENDOR / paths[0]).read_text()
        assert {VENDOR / path for path in paths} == set((VENDOR / "licenses").iterdir())
