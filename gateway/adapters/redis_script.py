"""Lua scripts in files, called by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

_LUA = Path(__file__).parent / "lua"


class Script:
    """One script, called by its hash; sent whole only when the server does not know it."""

    def __init__(self, name: str, *, with_hold: bool = False) -> None:
        prelude = (_LUA / "_hold.lua").read_text() if with_hold else ""
        self.source = prelude + (_LUA / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer. Raises redis-py's errors."""
        try:
            return client.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.execute_command("EVAL", self.source, len(keys), *keys, *args)
