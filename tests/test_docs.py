"""What the documentation says of the code is so."""

from __future__ import annotations

import re
from pathlib import Path

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
