"""What others made is what VENDOR.md says it is, with its licence."""

from __future__ import annotations

import hashlib
import re

from gateway.web.dashboard.assets import FOLDER

VENDOR = FOLDER / "vendor"
ROW = re.compile(
    r"^\| `([^`]+)` \| (.+?) \| ([\d.]+) \| (.+?) \| `([0-9a-f]{64})` \|$", re.MULTILINE
)
LICENCES = {
    "0BSD": "Zero-Clause BSD",
    "Apache-2.0": "Apache License",
    "OFL-1.1": "SIL OPEN FONT LICENSE Version 1.1",
}


def rows() -> list[tuple[str, str, str, str, str]]:
    return ROW.findall((VENDOR / "VENDOR.md").read_text())


def test_every_file_is_listed_and_unchanged() -> None:
    sums = {name: digest for name, *_, digest in rows()}
    files = {path.name for path in VENDOR.iterdir() if path.is_file()} - {"VENDOR.md"}
    assert set(sums) == files
    for name, digest in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_every_file_has_its_licence() -> None:
    named = set()
    for name, _, _, licence, _ in rows():
        kind = licence.partition(":")[0]
        paths = re.findall(r"`(licenses/[^`]+)`", licence)
        assert paths, name
        assert LICENCES[kind].lower() in (VENDOR / paths[0]).read_text().lower(), name
        named |= {VENDOR / path for path in paths}
    assert named == set((VENDOR / "licenses").iterdir())


def test_the_versions_are_those_in_the_files() -> None:
    versions = {name: version for name, _, version, *_ in rows()}
    htmx = (VENDOR / "htmx.min.js").read_text()
    assert f'version="{versions["htmx.min.js"]}"' in htmx
    echarts = (VENDOR / "echarts.common.min.js").read_text()
    assert f'version="{versions["echarts.common.min.js"]}"' in echarts
